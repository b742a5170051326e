"""A log of the point (see `probes`), as an engineer with NumPy alone would write it."""

import numpy as np
from probes import HORIZON, LIMIT


def point_log(num_rows: int = 90, seed: int = 2) -> dict[str, np.ndarray]:
    """Rows of random actions; episodes end by a fall or at the horizon, the last one amid."""
    rng = np.random.default_rng(seed)
    rows, x, t = [], rng.uniform(-1.0, 1.0, 2), 0
    for _ in range(num_rows):
        action = rng.uniform(-2.0, 2.0, 2)
        action[0] = rng.uniform(-0.5, 2.0)  # towards where it falls
        after, t = x + 0.2 * action, t + 1
        fell = abs(after[0]) > LIMIT
        obs, next_obs = np.append(x, 3.0), np.append(after, 3.0)
        rows.append((obs, action, -after @ after, next_obs, fell, t == HORIZON and not fell))
        x = after
        if fell or t == HORIZON:
            x, t = rng.uniform(-1.0, 1.0, 2), 0
    names = "observations", "actions", "rewards", "next_observations", "terminations", "truncations"
    return {
        name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)
    }
