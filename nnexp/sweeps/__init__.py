"""Sweeps: many runs of one command, trained together, and their report."""
