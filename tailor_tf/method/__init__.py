"""The NetTailor method: one file for each chapter of the paper."""
