"""The files that people write: `params.yaml` and `sources/*.yaml`, read strictly and checked.

Not here: the code that uses their values.
"""
