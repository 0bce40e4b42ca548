"""The commands of nnexp, one module each."""
