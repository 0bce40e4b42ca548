"""nnexp from Python and notebooks: `run`, `sweep` and `load`."""
