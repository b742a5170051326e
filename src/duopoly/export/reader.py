"""Acts as the policy in policy.json and policy.npz beside this file; it needs NumPy alone.

from policy import load
action = load()(obs)  # for one observation [obs], or for each of a batch [N, obs]
"""

import json
from pathlib import Path

import numpy as np

ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0.0),
    "silu": lambda x: x * np.exp(-np.logaddexp(0.0, -x)),
    "tanh": np.tanh,
}


def load(folder=None):
    """Reads the policy and returns it, a function from observations to actions."""
    folder = Path(folder or Path(__file__).parent)
    about = json.loads((folder / "policy.json").read_text("utf-8"))
    with np.load(folder / "policy.npz", allow_pickle=False) as file:
        numbers = dict(file)
    low, high = numbers["action_low"], numbers["action_high"]

    def act(obs):
        obs = np.asarray(obs, np.float64)
        x = (obs - numbers["shift"]) / numbers["scale"]
        if angles := about["angles"]:
            x[..., angles] = np.sin(obs[..., angles])
            x = np.concatenate([x, np.cos(obs[..., angles])], axis=-1)
        for number in range(about["num_layers"]):
            x = ACTIVATIONS[about["activation"]](x) if number > 0 else x
            x = x @ numbers[f"weight_{number}"] + numbers[f"bias_{number}"]
        x = x[..., : len(low)]
        x = np.tanh(x) if about["is_squashed"] else x.clip(-1.0, 1.0)
        x = ((high + low) / 2 + (high - low) / 2 * x).clip(low, high)
        return x.astype(about["action_dtype"])

    return act
