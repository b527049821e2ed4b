"""The pure engine: `step(context, state, input, now)` gives the next state and what must happen outside."""
