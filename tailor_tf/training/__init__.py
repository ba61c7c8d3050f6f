"""Training: one loop for all networks, which continues after an interruption."""
