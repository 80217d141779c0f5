"""Loss, step, loop and files of one training.

Not here: networks, which are in `models`, and code for CUDA alone, which is in `ops`.
"""
