"""A film of a trained policy at work."""

from pathlib import Path

from duopoly.agent import load_agent
from duopoly.render.frames import render_episodes, write_video
from duopoly.runs.errors import tell
from duopoly.world.task import Task


def film(path: Path, out: Path, num_episodes: int, seed: int, task: Task | None = None) -> None:
    """Films the mean action of the agent or run at ``path``; a ``task`` of one's own must be given.

    Raises:
        UsageError: there is no trained policy.
        RenderError: no film can be made here; the message says what to install.
    """
    agent = load_agent(path, task)
    shots = render_episodes(agent.task_now, agent.controller, seed, num_episodes=num_episodes)
    if shots.hint:
        tell(f"duopoly: {shots.hint}")
    write_video(out, shots.frames, shots.fps)
