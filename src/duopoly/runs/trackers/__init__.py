"""What follows a run beside its own files: TensorBoard, W&B, MLflow, or what the user has written.

A run never depends on what follows it: whatever fails on the way is told once, and the run goes on.
"""
