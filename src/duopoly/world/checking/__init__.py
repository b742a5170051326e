"""Checks of a task against its environment, for tasks of one's own too."""
