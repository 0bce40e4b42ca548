"""Pictures of a run, all in the style of `nnexp.mplstyle`."""
