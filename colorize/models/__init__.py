"""The paper's networks: building blocks, one file per model, the registry of models, and trained models on disk.

Not here: training, which is in `training`, and reading params.yaml, which is in `config`.
"""
