"""Policy players with an actor and critics, which learn in the model: svg and sac."""
