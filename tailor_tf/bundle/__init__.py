"""Bundles: many tasks over one universal network, on disk and in memory."""
