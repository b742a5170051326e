"""Pictures and films: figures in one style, robots at work."""
