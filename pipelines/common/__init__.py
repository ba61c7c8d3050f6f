"""Flags and functions that the programs share, one module per theme."""
