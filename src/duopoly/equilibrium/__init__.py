"""How far the game is from an equilibrium, and the gradient of a leader (Eq. 11)."""
