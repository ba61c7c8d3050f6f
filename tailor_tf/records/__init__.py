"""Records of a run, one JSON file per phase, and paths of all files of a run."""
