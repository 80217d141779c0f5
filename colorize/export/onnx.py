"""A trained model as one ONNX file: input L_norm, output logits or ab_norm, any batch size, height and width.

The metadata of the file hold everything that `session.load` and the HTML page need besides the weights:

    format               `earlier.ONNX_FORMAT`
    sidecar              the content of the model's `model.json`
    multiple_of          height and width of the input must be multiples of this number
    gamut_ab             the centers of the 313 bins in the order of the logits, CIELAB units
    weights              float32, or float16: the weights of the convolutions are rounded; the computation is float32
    demonstration        yes, no or unknown: see `facts.is_demonstration`
    license              of the file
    digital_source_type  what the metadata of a colored photo should say about it (a term of the IPTC)
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import colorize
from colorize import runtime
from colorize.color import gamut
from colorize.export import earlier, facts, session
from colorize.models import files
from colorize.models.blocks import UpConv2d
from colorize.models.contract import Classifier, Network
from colorize.ops import up_conv
from colorize.runtime import DataError

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"

_OPSET = 20  # version of the operators; ONNX Runtime has all of it since 1.17, and so has its version for browsers
_FEWEST_HALVED = 1024  # elements of a tensor that is rounded to float16; the small ones save nothing
_TOLERANCE = 1e-4  # largest difference from torch, as a fraction of the largest value; 5e-7 is usual
_TOLERANCE_HALVED = 0.05  # the same after rounding the weights; 1e-3 is usual


def write(folder: Path, path: Path, fp16: bool = False) -> int:
    """Write a trained model as an ONNX file.

    Args:
        folder: folder of the model.
        path: the file.
        fp16: store the weights of the convolutions as float16, which halves the file.

    Returns:
        bytes of the file.

    Raises:
        DataError: the model is missing or damaged, or the file does not compute what the model does.
        ParameterError: the packages for ONNX are missing.
    """
    content = build(folder, fp16)
    with runtime.atomic_write(path) as file:
        file.write(content)
    return len(content)


def build(folder: Path, fp16: bool = False) -> bytes:
    """The content of the ONNX file of a trained model. The arguments and errors are those of `write`.

    The same model and the same versions of the packages give the same bytes.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):  # before the model is loaded
        session.require(package)
    with torch.random.fork_rng(devices=[]):  # as in `predict.load`
        model, sidecar = files.load(folder)
    model = _plain(model)
    exported = _export(model)
    _clean(exported, _metadata(folder, sidecar, model, fp16))
    content = _serialized(exported, folder)
    _check(content, model, str(folder), _TOLERANCE)
    if fp16:
        _halve(exported)
        content = _serialized(exported, folder)
        _check(content, model, str(folder), _TOLERANCE_HALVED)
    return content


def _serialized(exported: Any, folder: Path) -> bytes:
    if exported.ByteSize() > earlier.MAX_BYTES:
        raise DataError(f"{folder}: too large for an ONNX file, which has at most 2 GiB")
    return bytes(exported.SerializeToString(deterministic=True))


def _plain(model: Network) -> Network:
    """A copy whose up-convolutions have their plain form.

    The fast form of `ops.up_conv` writes its result in four slices. In ONNX, each slice becomes a ScatterND, which
    makes a U-Net slower by 40 to 180 %.
    """
    model = copy.deepcopy(model)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, UpConv2d):
                setattr(parent, name, _PlainUpConv2d(child))
    return model


class _PlainUpConv2d(nn.Module):
    def __init__(self, fast: UpConv2d):
        super().__init__()
        self.weight, self.bias = fast.weight, fast.bias

    def forward(self, x: Tensor) -> Tensor:
        return up_conv.plain(x, self.weight, self.bias)


def _export(model: Network) -> Any:
    """The ONNX ModelProto of a network."""
    step = model.multiple_of
    example = torch.zeros(2, 1, 2 * step, 3 * step)  # with a batch of 1, the batch size would become a constant
    auto = torch.export.Dim.AUTO
    output = session.LOGITS if isinstance(model, Classifier) else session.AB_NORM
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                dynamic_shapes=({0: auto, 2: auto, 3: auto},),
                input_names=[session.INPUT],
                output_names=[output],
                opset_version=_OPSET,
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # torch raises errors of many types for a network that it cannot export
        cause = _first_cause(error)  # torch wraps it twice
        line = str(cause).partition("\n")[0]
        raise DataError(f"torch cannot export this network to ONNX ({type(cause).__name__}: {line})") from error
    assert program is not None  # as always with dynamo=True
    return program.model_proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide warnings and messages about the internals of the export."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _first_cause(error: BaseException) -> BaseException:
    return _first_cause(error.__cause__) if error.__cause__ else error


def _metadata(folder: Path, sidecar: dict, model: Network, fp16: bool) -> dict[str, str]:
    demonstration = facts.is_demonstration(folder, sidecar)
    return {
        "format": earlier.ONNX_FORMAT,
        "sidecar": json.dumps(sidecar, sort_keys=True, allow_nan=False),
        "multiple_of": str(model.multiple_of),
        "gamut_ab": json.dumps(gamut.GAMUT_AB.tolist()),
        "weights": "float16" if fp16 else "float32",
        "demonstration": {True: "yes", False: "no", None: "unknown"}[demonstration],
        "license": "MIT",
        "digital_source_type": DIGITAL_SOURCE_TYPE,
    }


def _clean(exported: Any, metadata: dict[str, str]) -> None:
    """Remove what depends on this machine, such as the paths in the stack traces of torch, and set the metadata."""
    graph = exported.graph
    for described in (exported, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        described.ClearField("doc_string")
        described.ClearField("metadata_props")
    graph.ClearField("value_info")  # shapes of the example
    graph.name = "colorize"
    exported.producer_name, exported.producer_version = "let-there-be-color", colorize.__version__
    kept = [opset for opset in exported.opset_import if opset.domain in ("", "ai.onnx")]
    del exported.opset_import[:]
    exported.opset_import.extend(kept)
    for key, value in metadata.items():
        exported.metadata_props.add(key=key, value=value)
    names = ("batch", "", "height", "width")
    for dimension, name in zip(graph.input[0].type.tensor_type.shape.dim, names, strict=True):
        if name:
            dimension.dim_param = name
    shape = graph.output[0].type.tensor_type.shape.dim
    for dimension, name in zip(shape, ("batch", "", "output_height", "output_width"), strict=True):
        if name:
            dimension.dim_param = name


def _halve(exported: Any) -> None:
    """Store large tensors as float16, and cast them to float32 in the graph; values that float16 lacks stay float32."""
    onnx = session.require("onnx")
    graph = exported.graph
    casts = []
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if (
            values.dtype != np.float32
            or values.size < _FEWEST_HALVED
            or np.abs(values).max() > np.finfo(np.float16).max
        ):
            continue
        name, half = tensor.name, f"{tensor.name}.float16"
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), half))
        casts.append(onnx.helper.make_node("Cast", [half], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


@torch.inference_mode()
def _check(content: bytes, model: Network, where: str, tolerance: float) -> None:
    """Check that ONNX Runtime computes the same as torch, for two images of another size than the export's example.

    Raises:
        DataError: it does not.
    """
    network = session.read(content, where).network
    step, generator = model.multiple_of, torch.Generator().manual_seed(0)
    L_norm = torch.rand(2, 1, 5 * step, 4 * step, generator=generator)
    expected, found = model(L_norm), network(L_norm)
    if found.shape != expected.shape:
        raise DataError(
            f"{where}: in ONNX, the output has the shape {tuple(found.shape)}, expected {tuple(expected.shape)}"
        )
    difference = ((found - expected).abs().max() / expected.abs().max().clamp_min(1e-30)).item()
    if not difference <= tolerance:  # NaN too
        raise DataError(f"{where}: ONNX Runtime and torch differ by {difference:.1g} of the largest value")
