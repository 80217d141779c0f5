"""Color counts, the smoothed prior, and the class weights.

Not here: the losses that use them, which are in `training`.
"""
