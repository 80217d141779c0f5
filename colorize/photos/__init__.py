"""A trained model applied to photographs of any size. Nothing here is part of the pipeline."""
