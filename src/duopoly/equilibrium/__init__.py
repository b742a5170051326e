"""What the game tells: how a leader foresees its follower's answer (Eq. 11)."""
