"""What the game tells: how far it is from an equilibrium, and the gradient of a leader."""
