"""Email providers, and what their letters have in common."""
