"""What crosses a process border: events in, log records, messages out, receipts back. No I/O, no clock."""
