"""The policy player: a Gaussian policy improved in imagination, or a planner."""
