"""A trained model applied to photographs of any size.

Not here: anything that the pipeline needs.
"""
