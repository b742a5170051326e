"""What the game tells: how far it is from an equilibrium, and how a leader foresees an answer."""
