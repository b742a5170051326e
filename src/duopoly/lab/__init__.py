"""What is made of finished runs: statistics, curves, evaluations, diagnoses, studies."""
