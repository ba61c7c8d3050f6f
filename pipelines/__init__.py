"""Programs that a person runs: `python -m pipelines.NAME --help`."""
