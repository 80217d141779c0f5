"""Color as formulas on tensors: CIELAB, the 313 bins, soft targets, colorfulness.

Not here: files, networks and losses.
"""
