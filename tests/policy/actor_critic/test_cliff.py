"""An end has no gradient: an actor that looks through the model alone walks over the edge."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float, Key

from duopoly.model.imagine import Starts, imagine
from duopoly.policy.actor_critic.actor import act_by
from duopoly.policy.actor_critic.player import SVG
from duopoly.policy.player import Opponent, Spaces
from duopoly.settings import Settings, override
from duopoly.types import Prediction, Transitions

KEY = jax.random.key(3)


class Cliff(eqx.Module):
    """A mass on a line is pushed; the further right the better, but beyond 1 the world ends."""

    num_members: int = eqx.field(static=True, default=2)

    def __call__(
        self, key: Key[Array, ""], obs: Float[Array, "E B obs"], action: Float[Array, "E B act"]
    ) -> Prediction:
        del key
        speed = obs[..., 1] + 0.2 * action[..., 0]
        place = obs[..., 0] + 0.2 * speed
        reward = 1.0 + jnp.clip(place, -1.0, 1.0)
        no = jnp.zeros(place.shape, bool)
        return Prediction(jnp.stack([place, speed], -1), reward, place > 1.0, no)


def share_that_falls(lookahead_weight: float) -> float:
    place = jax.random.uniform(KEY, (200,), minval=-1.0, maxval=0.9)
    obs = jnp.stack([place, 0.5 * jax.random.normal(KEY, (200,))], -1)
    no = jnp.zeros(200, bool)
    data = Transitions(obs, jnp.zeros((200, 1)), jnp.zeros(200), obs, no, no, jnp.asarray(200))
    settings = override(
        Settings(),
        {
            "policy.hidden": (32,),
            "policy.discount": 0.95,
            "policy.learning_rate": 2e-3,
            "policy.actor_critic.hidden": (32,),
            "policy.actor_critic.horizon": 16,
            "policy.actor_critic.lookahead_weight": lookahead_weight,
            "policy.actor_critic.initial_temperature": 0.05,
            "policy.actor_critic.target_rate": 0.02,
            "policy.actor_critic.batch_size": 32,
            "policy.actor_critic.pool_horizon": 10,
            "policy.actor_critic.critic_share": 0.0,
        },
    )
    opponent = Opponent(Cliff(), Starts(obs, jnp.asarray(200), data), lambda: data)
    state = SVG.init(KEY, Spaces(2, 1), settings)
    state, _ = SVG.improve(KEY, state, opponent, 700, settings)
    begin = jnp.stack([-jnp.ones((2, 50)), 0.1 * jax.random.normal(KEY, (2, 50))], -1)
    seen = imagine(KEY, act_by(state.actor, True), Cliff(), begin, 60)
    return float(jnp.mean(jnp.any(seen.terminated & seen.valid, axis=-1)))


@pytest.mark.parametrize(("lookahead_weight", "falls"), [(1.0, 1.0), (0.5, 0.0)])
def test_an_actor_that_asks_the_critics_too_stays_on_the_edge(
    lookahead_weight: float, falls: float
) -> None:
    assert abs(share_that_falls(lookahead_weight) - falls) < 0.1
