"""What a run writes down: one JSON file per phase."""
