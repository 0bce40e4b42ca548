"""What came out of a sweep, and what can be said about it."""
