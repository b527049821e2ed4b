"""What is learned from answers: channel rates, own rhythm. Pure and updated only by events inside `engine.step`."""
