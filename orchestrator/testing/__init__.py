"""What users test with: real services, fakes, and the journey simulator."""
