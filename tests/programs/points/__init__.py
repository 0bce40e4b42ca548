"""Faults at every point at which a command changes a file: `python -m tests.programs.points --help`."""
