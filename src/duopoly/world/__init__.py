"""The real side of the game: tasks, the interaction with their environments, and the data.

Nothing is imported here: `duopoly.world.tasks` must answer within milliseconds which tasks there
are, before JAX or MuJoCo are loaded.
"""
