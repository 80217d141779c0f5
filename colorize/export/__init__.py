"""Trained models for other programs: an ONNX file, a folder for a model hub with a model card, and an HTML page.

Not here: the training of models, and the code that colors photos in Python, which is in `photos`.

Everything heavy is an extra, so the packages `onnx`, `onnxscript` and `onnxruntime` are imported only by the functions
that need them.
"""
