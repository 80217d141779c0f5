"""Archives: zip files, tar files and folders, read in place; their download; and objects in buckets.

Not here: anything about the content of the files, such as images.
"""
