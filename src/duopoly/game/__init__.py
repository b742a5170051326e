"""The game: its rounds, its moves, views of its state, and what is observed of it."""
