"""The paper's networks: building blocks, one file per model, the registry of models, and trained models on disk.

Not here: training, and the files that choose a model's parameters.
"""
