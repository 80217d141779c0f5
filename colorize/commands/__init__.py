"""The commands of the program `colorize`: one module per command, with `add_arguments(parser)` and `run(options)`.

The modules import torch, numpy and Pillow only inside functions, so that help and wrong arguments need no waiting.

Not here: how photos are decoded, colored and encoded (`photos/`), and how models are exported (`export/`).
"""
