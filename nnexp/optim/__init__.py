"""Optimizers, which turn a gradient into a direction, and schedules, which say how far to go."""
