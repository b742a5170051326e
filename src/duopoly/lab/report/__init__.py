"""Runs as one page of HTML: what they did, how to read it, and their pictures."""
