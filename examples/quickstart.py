"""Train PAL on the 7-DOF reacher, act with the policy, save it and load it again."""

import gymnasium as gym

from duopoly import PAL

agent = PAL("Reacher7DOF", seed=0)
agent.learn(8_000, progress_bar=True)  # real environment steps

env = gym.make("duopoly/Reacher7DOF-v0")
obs, info = env.reset(seed=1, options={"target": [0.1, 0.1, 0.0]})
truncated = False
while not truncated:
    action, _ = agent.predict(obs, deterministic=True)
    obs, reward, _, truncated, info = env.step(action)
print(f"final distance {100 * info['distance']:.1f} cm")

agent.save("reacher-agent")
same_agent = PAL.load("reacher-agent")
