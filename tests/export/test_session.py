"""ONNX files from others: whatever is wrong with one is a single line, before ONNX Runtime computes anything."""

import json
import threading

import numpy as np
import pytest
import torch

import colorize
from colorize.color import gamut
from colorize.export import session
from colorize.models import files
from colorize.runtime import DataError, ParameterError

REASON = "the packages of `make export` are not installed"


@pytest.fixture(scope="module")
def content(model_folder) -> bytes:
    """A good file with a network of two convolutions, as `onnx.write` would write it; faster than an export."""
    onnx = pytest.importorskip("onnx", reason=REASON)
    pytest.importorskip("onnxruntime", reason=REASON)
    from colorize.export import onnx as export

    model, sidecar = files.load(model_folder("unet"))
    generator = np.random.default_rng(0)
    weights = {"w1": (8, 1, 3, 3), "b1": (8,), "w2": (gamut.NUM_BINS, 8, 1, 1), "b2": (gamut.NUM_BINS,)}
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Conv", ["L_norm", "w1", "b1"], ["features"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["features"], ["positive"]),
        helper.make_node("Conv", ["positive", "w2", "b2"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("L_norm", float32, ["b", 1, "h", "w"])],
        [helper.make_tensor_value_info("logits", float32, ["b", gamut.NUM_BINS, "h", "w"])],
        [
            onnx.numpy_helper.from_array(generator.normal(0, 3, shape).astype(np.float32), name)
            for name, shape in weights.items()
        ],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    export._clean(proto, export._metadata(model_folder("unet"), sidecar, model, fp16=False))
    return proto.SerializeToString()


@pytest.fixture
def onnx_path(content, tmp_path):
    """A good file."""
    (tmp_path / "model.onnx").write_bytes(content)
    return tmp_path / "model.onnx"


@pytest.fixture
def model(content):
    """The ModelProto of a good file, to change."""
    import onnx

    return onnx.load_model_from_string(content)


def refusal(model, tmp_path) -> str:
    """The message for a changed model or for bytes."""
    path = tmp_path / "changed.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    with pytest.raises(DataError) as caught:
        colorize.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def set_metadata(model, key: str, value: object) -> None:
    (entry,) = (entry for entry in model.metadata_props if entry.key == key)
    entry.value = value if isinstance(value, str) else json.dumps(value)


def test_threads_get_what_one_thread_gets(content):
    network = session.read(content, "model.onnx").network
    inputs = torch.rand(8, 1, 1, 24, 32, generator=torch.Generator().manual_seed(0))
    expected = [network(L_norm) for L_norm in inputs]
    found: list = [None] * len(inputs)

    def work(n: int) -> None:
        for _ in range(5):
            found[n] = network(inputs[n])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))


def test_loading_changes_no_random_numbers_and_no_thread_count(onnx_path):
    before = torch.get_rng_state(), torch.get_num_threads()
    colorize.load(onnx_path)(np.zeros((20, 30), np.uint8))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == torch.get_num_threads()


@pytest.mark.parametrize("other", [b"", b"\x00" * 100, b"not an ONNX file", b"\x89PNG\r\n\x1a\n" * 9])
def test_other_files_are_refused(other, tmp_path, content):
    assert "export the model again with" in refusal(other, tmp_path)


def test_a_file_that_was_cut_off_is_refused(content, tmp_path):
    for length in (len(content) - 1, len(content) // 2, 1000):
        assert "export the model again with" in refusal(content[:length], tmp_path)


def test_a_foreign_model_is_refused(model, tmp_path):
    model.ClearField("metadata_props")
    assert "not an ONNX file of this project and version" in refusal(model, tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sidecar", "{"), ("sidecar", []), ("sidecar", {"model": "unet"}), ("sidecar", "[" * 100_000),
        ("multiple_of", 0), ("multiple_of", "8.0"), ("multiple_of", 10**9), ("gamut_ab", [[0, 0]]),
    ],
)  # fmt: skip
def test_wrong_metadata_are_refused(model, tmp_path, key, value):
    set_metadata(model, key, value)
    assert "the metadata" in (message := refusal(model, tmp_path)) or "other color bins" in message


def test_weights_in_another_file_are_refused(model, tmp_path):
    (tmp_path / "weights.bin").write_bytes(bytes(1 << 20))
    tensor = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    tensor.external_data.add(key="location", value="weights.bin")
    assert "a part of the weights is in another file" in refusal(model, tmp_path)


def test_constants_in_another_file_are_refused(model, tmp_path):
    import onnx

    tensor = onnx.TensorProto(name="c", data_type=1, dims=[1], data_location=1)
    tensor.external_data.add(key="location", value="/etc/passwd")
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["unused"], value=tensor))
    assert "a part of the weights is in another file" in refusal(model, tmp_path)


def test_operators_outside_the_standard_are_refused(model, tmp_path):
    model.graph.node[0].domain = "com.example"
    assert "is not part of the ONNX standard" in refusal(model, tmp_path)


def test_loops_are_refused(model, tmp_path):
    import onnx

    body = onnx.helper.make_graph([], "body", [], [])
    model.graph.node.append(onnx.helper.make_node("Loop", ["", ""], ["unused"], body=body))
    assert "the operator Loop has a graph of its own" in refusal(model, tmp_path)


def grow(model, *sizes: int):
    """Insert a node that repeats the output of the network, before the output."""
    import onnx

    output = model.graph.output[0].name
    for node in model.graph.node:
        for n, name in enumerate(node.output):
            if name == output:
                node.output[n] = "small"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(sizes, np.int64), "sizes"))
    model.graph.node.append(onnx.helper.make_node("Tile", ["small", "sizes"], ["huge"]))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1], np.int64), "axes"))
    model.graph.node.append(onnx.helper.make_node("ReduceMean", ["huge", "axes"], [output], keepdims=1))


def test_values_that_fill_the_memory_are_refused(model, tmp_path):
    grow(model, 1, 1_000_000, 1, 1)
    assert "is too large" in refusal(model, tmp_path)


def test_values_of_unknown_size_are_refused(model, tmp_path):
    import onnx

    model.graph.node.append(onnx.helper.make_node("NonZero", ["L_norm"], ["unused"]))
    assert "the size of the value unused is unknown" in refusal(model, tmp_path)


def test_another_output_is_refused(model, tmp_path):
    grow(model, 1, 1, 1, 1)
    assert "expected that of logits or ab_norm" in refusal(model, tmp_path)


def test_a_damaged_graph_is_refused(model, tmp_path):
    model.graph.node[1].input[0] = "nothing"
    assert "the graph is damaged" in refusal(model, tmp_path)


def test_a_value_that_two_operators_write_is_refused(model, tmp_path):
    model.graph.node.append(model.graph.node[1])
    assert "the graph is damaged" in refusal(model, tmp_path)


def test_weights_that_are_not_finite_are_one_line(model, tmp_path):
    import onnx

    tensor = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    nan = np.full(tuple(tensor.dims), np.nan, np.float32)
    tensor.CopyFrom(onnx.numpy_helper.from_array(nan, tensor.name))
    (tmp_path / "nan.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(DataError, match="not finite"):
        colorize.load(tmp_path / "nan.onnx")(np.zeros((20, 30), np.uint8))


def test_a_missing_file_and_another_device_are_one_line(tmp_path, onnx_path):
    with pytest.raises(DataError, match=r"missing.onnx: cannot be read \(No such file"):
        colorize.load(tmp_path / "missing.onnx")
    with pytest.raises(ParameterError, match="device cuda: an ONNX file is computed on the CPU"):
        colorize.load(onnx_path, device="cuda")


def test_a_file_above_the_limit_is_refused_without_reading_it(tmp_path):
    with (tmp_path / "large.onnx").open("wb") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(DataError, match="too large"):
        colorize.load(tmp_path / "large.onnx")


def test_options_reach_the_colorizer(onnx_path):
    photo = np.random.default_rng(0).integers(0, 256, (30, 40), np.uint8)
    mode, annealed = (colorize.load(onnx_path, temperature=temperature)(photo) for temperature in (0, None))
    assert not np.array_equal(mode, annealed)
    assert np.array_equal(colorize.load(onnx_path, strength=0)(photo)[..., 0], photo)
    assert colorize.load(onnx_path, size=48).network_size(100, 100) == (48, 48)
    with pytest.raises(ParameterError):
        colorize.load(onnx_path, size=7)
