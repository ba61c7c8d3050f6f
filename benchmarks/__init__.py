"""Measurements, run as `python -m benchmarks.NAME`; figures are in docs/performance.md."""
