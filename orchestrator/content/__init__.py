"""What a message says: checked templates and bound facts in, content per channel out. No I/O, no clock."""
