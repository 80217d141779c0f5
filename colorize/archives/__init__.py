"""Bytes in containers: zip files, tar files and folders, read in place, and their download.

Not here: what the bytes mean; nothing in this folder knows an image.
"""
