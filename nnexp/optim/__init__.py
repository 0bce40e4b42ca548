"""Optimizers, schedules of the learning rate, and regularization."""
