"""State in Redis: key names, the atomic commit, the outbox. All keys of one partition share a hash tag."""
