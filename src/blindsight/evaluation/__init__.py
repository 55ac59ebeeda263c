"""Measurements: accuracy, cost, and side-by-side benchmarks."""
