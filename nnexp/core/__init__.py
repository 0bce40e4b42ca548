"""The foundations of nnexp: components, errors, files, locks and signals."""
