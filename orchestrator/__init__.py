"""Event-driven omnichannel journeys: what a customer does decides what she hears next, when, where, and whether."""

__version__ = "0.1.0"
