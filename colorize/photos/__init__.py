"""Colorization of photographs of any size with a trained model.

Not here: anything that the pipeline needs.
"""
