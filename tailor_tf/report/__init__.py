"""From the records of a run to tables, pictures and a page."""
