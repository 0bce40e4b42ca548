"""Tracking: where the metrics, parameters and figures of a run are kept for comparison."""
