"""What all of nnexp stands on: components, errors, files, locks and signals."""
