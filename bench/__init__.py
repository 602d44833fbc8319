"""What the guard costs. Not shipped; `make bench-quick` runs it."""
