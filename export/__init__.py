"""Artifacts: tailored networks as files that run without this project."""
