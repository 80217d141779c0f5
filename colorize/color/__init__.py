"""Color: CIELAB, the 313 bins, soft targets, colorfulness. Formulas on tensors only: nothing here reads a file."""
