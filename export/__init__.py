"""Artifacts per task: from a tailored network to what runs elsewhere."""
