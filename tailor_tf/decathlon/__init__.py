"""Benchmarks of several tasks over one universal network: protocols, score and standings."""
