"""What operators look at: the doctor, health, lag."""
