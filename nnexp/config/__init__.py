"""Turns configs into checked components: finds and composes configs, and computes the identity of a run."""
