"""nnexp from Python."""
