"""The policy player: a Gaussian policy, improved by natural gradients in imagination."""
