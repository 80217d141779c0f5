"""The training of one model: loss, optimizer step, loop, checkpoints and history.

Not here: networks, which are in `models`, and code that exists only for speed, which is in `ops`.
"""
