"""Runs on disk: their directory and files, checkpoints, and training that outlives a kill.

The mathematics below yields a stream of rounds and knows nothing of this floor.
"""
