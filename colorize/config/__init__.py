"""Strict reading of the files that people write: `params.yaml` and `sources/*.yaml`.

Not here: the code that uses their values.
"""
