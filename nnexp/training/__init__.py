"""Training a stack of runs: batches, the loop, metrics and history."""
