"""Policy players that plan every action in the model: cem and mppi."""
