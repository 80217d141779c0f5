"""An ONNX file that `onnx.py` wrote, as the network of a Colorizer: `colorize.load("model.onnx")`.

A file can come from anybody. It is refused if it needs another file, an operator outside the ONNX standard, a loop, or
far more memory than a network of this project. ONNX Runtime sees it only after these checks.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from colorize import runtime
from colorize.color import gamut
from colorize.export import earlier
from colorize.photos.predict import Colorizer
from colorize.runtime import DataError, ParameterError

INPUT, LOGITS, AB_NORM = "L_norm", "logits", "ab_norm"  # names of the input, and of the output of a classifier or not

_PROBE = 16  # side of the image for the check of the shapes, as a multiple of `multiple_of`
_MAX_VALUES = 1024  # largest number of values that an operator may give per pixel; the widest network has 313
_MAX_STEP = 64  # largest `multiple_of`; the networks of this project have 4 and 8
_REMEDY = "export the model again with `colorize export MODEL --onnx FILE`"

_NEEDED = {  # key of the sidecar: check of its value; see `models.files`
    "model": lambda value: isinstance(value, str) and value.isidentifier(),
    "size": lambda value: type(value) is int and 16 <= value <= 1024,
    "weights_sha256": lambda value: isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value),
}


class OnnxNetwork:
    """A network that ONNX Runtime computes on the CPU. Several threads can call it at the same time.

    Attributes:
        multiple_of: the height and width of the input must be multiples of this number.
    """

    def __init__(self, session: Any, multiple_of: int, where: str):
        self.multiple_of = multiple_of
        self._session, self._where = session, where

    def __call__(self, L_norm: Tensor) -> Tensor:
        """(B, 1, H, W) float32 L_norm -> (B, Q, h, w) logits, or (B, 2, H, W) ab_norm, float32.

        Raises:
            DataError: ONNX Runtime cannot compute the file.
        """
        try:
            (output,) = self._session.run(None, {INPUT: np.ascontiguousarray(L_norm.numpy(force=True))})
        except Exception as error:  # ONNX Runtime has many types of errors without a common base class
            reason = runtime.first_line(error)
            raise DataError(f"{self._where}: ONNX Runtime cannot compute it ({reason}); {_REMEDY}") from None
        return torch.from_numpy(output)


class Loaded(NamedTuple):
    """An ONNX file in memory."""

    network: OnnxNetwork
    sidecar: dict  # content of the model's `model.json`
    sha256: str  # of the file


def load(
    path: Path | str,
    device: str | None = None,
    size: int | None = None,
    temperature: float | None = None,
    strength: float = 1.0,
) -> Colorizer:
    """Load an ONNX file for prediction; the arguments are those of `colorize.load`.

    Raises:
        DataError: the file is missing or damaged, or does not hold a model of this project.
        ParameterError: an option is out of range, `device` is not the CPU, or the packages for ONNX are missing.
    """
    if device is not None and str(device) != "cpu":
        raise ParameterError(f"device {device}: an ONNX file is computed on the CPU; leave the device out")
    try:
        content = runtime.read_bytes(path, earlier.MAX_BYTES)
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: cannot be read ({runtime.first_line(error)}); check the path") from None
    network, sidecar, sha256 = read(content, os.fspath(path))
    return Colorizer(network, sidecar["model"], sidecar["size"], "cpu", size, temperature, strength, sha256)


def read(content: bytes, where: str) -> Loaded:
    """Check the content of an ONNX file, and give it to ONNX Runtime.

    Args:
        content: of the file.
        where: path of the file, for messages.

    Raises:
        DataError: the content is damaged, or not that of a file that `onnx.write` wrote.
        ParameterError: the packages for ONNX are missing.
    """
    onnx, onnxruntime = require("onnx"), require("onnxruntime")
    try:
        model = onnx.load_model_from_string(content)
    except Exception:  # protobuf has its own types of errors, which differ from version to version
        raise DataError(f"{where}: not an ONNX file, or damaged; {_REMEDY}") from None
    sidecar, multiple_of = _metadata(model, where)
    if problem := _forbidden(model) or _wrong_shapes(model, multiple_of):
        raise DataError(f"{where}: {problem}; {_REMEDY}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # otherwise ONNX Runtime writes to stderr
    # A waiting thread must not keep a core busy, because other threads decode, join and encode photos meanwhile.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        # Without `enable_fallback=0`, ONNX Runtime prints an error and tries the same again.
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # as in `OnnxNetwork`
        reason = runtime.first_line(error)
        raise DataError(f"{where}: ONNX Runtime cannot load it ({reason}); {_REMEDY}") from None
    return Loaded(OnnxNetwork(session, multiple_of, where), sidecar, hashlib.sha256(content).hexdigest())


def require(package: str) -> Any:
    """Import a package of the extra `export`.

    Raises:
        ParameterError: the package is not installed; the message is one line with the remedy.
    """
    try:
        return importlib.import_module(package)
    except ImportError:
        remedy = "install what the export needs: make export (or pip install let-there-be-color[export])"
        raise ParameterError(f"the package {package} is missing; {remedy}") from None


def _metadata(model: Any, where: str) -> tuple[dict, int]:
    """The sidecar of the model, and `multiple_of`.

    Raises:
        DataError: a value is missing or wrong.
    """
    texts = {entry.key: entry.value for entry in model.metadata_props}
    if texts.get("format") != earlier.ONNX_FORMAT:
        raise DataError(f"{where}: not an ONNX file of this project and version; {_REMEDY}")
    try:
        sidecar, multiple_of, bins = (json.loads(texts[key]) for key in ("sidecar", "multiple_of", "gamut_ab"))
        wrong = [key for key, is_valid in _NEEDED.items() if not is_valid(sidecar.get(key))]
        is_step = type(multiple_of) is int and 1 <= multiple_of <= _MAX_STEP
    except (KeyError, ValueError, AttributeError, RecursionError):
        wrong, is_step, bins = ["sidecar"], False, None
    if wrong or not is_step:
        raise DataError(f"{where}: the metadata `{wrong[0] if wrong else 'multiple_of'}` is damaged; {_REMEDY}")
    if bins != gamut.GAMUT_AB.tolist():
        raise DataError(f"{where}: made for other color bins than those of this version; {_REMEDY}")
    return sidecar, multiple_of


def _forbidden(model: Any) -> str:
    """The reason why a graph may not be computed here; empty if it may be."""
    graph = model.graph
    if model.functions or model.training_info or graph.sparse_initializer:
        return "it has functions, training data or sparse weights, which no export of this project has"
    for node in graph.node:
        if node.domain not in ("", "ai.onnx"):
            return f"the operator {node.domain}.{node.op_type} is not part of the ONNX standard"
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            return f"the operator {node.op_type} has a graph of its own, for example a loop"
    if any(tensor.external_data or tensor.data_location for tensor in _tensors(graph)):
        return "a part of the weights is in another file"
    if [value.name for value in graph.input] != [INPUT] or len(graph.output) != 1:
        return f"it has other inputs or outputs than {INPUT} and {LOGITS} or {AB_NORM}"
    return ""


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
            yield attribute.sparse_tensor.values


def _wrong_shapes(model: Any, multiple_of: int) -> str:
    """The reason why the values of a graph have wrong or too large shapes; empty if they have right ones.

    The shapes are computed, without the values, for one square image.
    """
    onnx = require("onnx")
    side = _PROBE * multiple_of
    probe = _without_weights(onnx, model)
    dimensions = probe.graph.input[0].type.tensor_type.shape.dim
    if len(dimensions) != 4:
        return f"the input {INPUT} has {len(dimensions)} dimensions, expected 4"
    for dimension, value in zip(dimensions, (1, 1, side, side), strict=True):
        dimension.dim_value = value
    output = probe.graph.output[0]
    output.type.tensor_type.ClearField("shape")
    try:
        onnx.checker.check_model(model)
        inferred = onnx.shape_inference.infer_shapes(probe, check_type=True, strict_mode=True, data_prop=True).graph
    except Exception as error:  # onnx raises errors of several types
        return f"the graph is damaged ({runtime.first_line(error)})"
    shapes = {value.name: _shape(value) for value in (*inferred.value_info, *inferred.output)}
    allowed = max(_MAX_VALUES * side**2, *(math.prod(tensor.dims) for tensor in probe.graph.initializer), 0)
    for name in (name for node in probe.graph.node for name in node.output if name):
        shape = shapes.get(name)
        if shape is None or math.prod(shape) > allowed:
            return f"the size of the value {name[:40]} is {'unknown' if shape is None else 'too large'}"
    found, size = shapes[output.name], (side, side)
    is_output = found is not None and (
        (found[:2] == (1, gamut.NUM_BINS) and len(found) == 4 and max(found[2:]) <= side) or found == (1, 2, *size)
    )
    return "" if is_output else f"the output has the shape {found}, expected that of {LOGITS} or {AB_NORM}"


def _without_weights(onnx: Any, model: Any) -> Any:
    """A copy whose large tensors have shapes, but no values."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    for tensor in probe.graph.initializer:
        if math.prod(tensor.dims) > _MAX_VALUES:
            tensor.ClearField("raw_data")
    return probe


def _shape(value: Any) -> tuple[int, ...] | None:
    """The shape of a value; None if it is not known."""
    kind = value.type.tensor_type
    if not kind.HasField("shape") or not all(dimension.HasField("dim_value") for dimension in kind.shape.dim):
        return None
    return tuple(dimension.dim_value for dimension in kind.shape.dim)
