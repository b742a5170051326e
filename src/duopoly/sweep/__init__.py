"""Many runs: what is to be played, where each is played, and what is kept of it."""
