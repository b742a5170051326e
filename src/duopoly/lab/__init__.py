"""Experiments: statistics over many runs."""
