"""Metrics of a model on a test split, and the predictions that the report shows."""
