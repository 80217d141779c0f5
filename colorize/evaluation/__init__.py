"""Measures of a model on a test split, and the predictions that the report shows.

Not here: tables and figures, which are in `report`.
"""
