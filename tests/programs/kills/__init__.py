"""Runs and sweeps killed at random moments of their whole life, and gone on with until they are done."""
