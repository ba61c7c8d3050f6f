"""NetTailor, a chapter of the paper a file."""
