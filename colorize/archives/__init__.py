"""Bytes in containers: zip, tar and folder, read in place, and their download. Nothing here knows an image."""
