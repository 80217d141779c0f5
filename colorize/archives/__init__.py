"""Archives: zip files, tar files and folders, read in place, and their download.

Not here: anything about the content of the files, such as images.
"""
