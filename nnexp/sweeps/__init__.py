"""Sweeps: from what is to be varied to what came out best."""
