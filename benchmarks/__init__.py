"""Measurements, run as `python -m benchmarks.NAME`."""

import pipelines  # noqa: F401  it starts the filter of standard error
