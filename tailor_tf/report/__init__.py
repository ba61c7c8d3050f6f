"""Reports of finished and unfinished runs: tables, pictures and a page, from records alone."""
