"""Describe the blocks of a network. The report draws Figure 1 from this description, without importing torch."""

from __future__ import annotations

import torch
from torch import nn


def describe(name: str, model: nn.Module, width: float, size: int) -> dict:
    """Describe a model; its blocks are in the order of the forward pass.

    Args:
        name: name of the model.
        model: a network of `colorize.models`; its child modules that have parameters are its blocks.
        width: width factor of the network.
        size: side of the input, pixels.

    Returns:
        a dict with `model`, `width`, `parameters` (their number), `input` (channels, height, width), `skips` and
        `blocks`. `skips` maps the name of a block to the name of the block whose output is added in it. Each block has
        `name`, `convolutions` ([in, out] channels of each), `out_channels`, `size` (side of the output, pixels),
        `parameters` (their number) and `batch_norm` (bool).
    """
    shapes: dict[str, torch.Size] = {}
    blocks = {n: child for n, child in model.named_children() if any(True for _ in child.parameters())}
    hooks = [
        child.register_forward_hook(lambda _module, _inputs, output, n=n: shapes.update({n: output.shape}))
        for n, child in blocks.items()
    ]
    was_training = model.training
    with torch.inference_mode():
        model.eval()(torch.zeros(1, 1, size, size))
    model.train(was_training)
    for hook in hooks:
        hook.remove()
    return {
        "model": name,
        "width": width,
        "parameters": _count(model),
        "input": [1, size, size],
        "skips": getattr(model, "skips", {}),
        "blocks": [_block(n, blocks[n], shape) for n, shape in shapes.items()],
    }


def _block(name: str, module: nn.Module, shape: torch.Size) -> dict:
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    return {
        "name": name,
        "convolutions": [[m.in_channels, m.out_channels] for m in convolutions],
        "out_channels": shape[1],
        "size": shape[2],
        "parameters": _count(module),
        "batch_norm": any(isinstance(m, nn.BatchNorm2d) for m in module.modules()),
    }


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
