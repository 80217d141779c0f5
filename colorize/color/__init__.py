"""Color formulas on tensors and arrays: CIELAB, the 313 bins, soft targets, colorfulness.

Not here: files, networks and losses.
"""
