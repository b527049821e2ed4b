"""What decision records say afterwards: whether journeys help, and what another policy would have brought. No I/O."""
