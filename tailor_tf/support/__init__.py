"""Helpers that know nothing of networks: errors, files, locks, versions, drawing."""
