"""Tailoring: one task from start to end, in one working directory."""
