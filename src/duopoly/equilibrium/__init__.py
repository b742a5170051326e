"""What the game tells: how far the players are from an equilibrium, and from the real world."""
