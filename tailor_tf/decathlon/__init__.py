"""Protocols of several domains over one universal network, their score and standings."""
