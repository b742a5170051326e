"""Exact games on small worlds: what the paper proves, computed to the last digit.

Everything is in float64 and batched over N games. Functions of numbers alone take NumPy or JAX
arrays, so that what a sweep checks (NumPy) is what a search climbs (JAX).
"""
