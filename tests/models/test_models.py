"""The five models: the paper's sizes and shapes, skips that are sums, what is described, where training starts."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from colorize import models
from colorize.color import gamut, targets
from colorize.models import blocks, contract
from colorize.models.contract import Classifier, Network, build_model
from colorize.models.output import is_distribution, to_ab_norm
from colorize.models.registry import MODELS
from colorize.prior.weights import rebalancing_weights
from colorize.runtime import DataError
from colorize.training import describe
from colorize.training.step import Objective

OPTIONS = targets.Options(10, 5.0, "pixel")
WIDTH = 0.05


def small(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(name, WIDTH)


@pytest.mark.parametrize("name", MODELS)
def test_outputs_have_the_papers_shapes(name):
    output = small(name)(torch.rand(2, 1, 64, 64))
    expected = {"regression": (2, 2, 64, 64), "cnn": (2, 313, 32, 32), "unet": (2, 313, 64, 64)}
    assert output.shape == expected[name.removesuffix("_weighted")]


@pytest.mark.parametrize("name", MODELS)
def test_the_registry_says_what_the_networks_are(name):
    model = small(name)
    assert (
        isinstance(model, Classifier) == is_distribution(model(torch.rand(1, 1, 16, 16))) == MODELS[name].is_classifier
    )


def is_model(name: str) -> bool:
    try:
        return issubclass(contract.network_of(name), Network)
    except DataError:
        return False


def test_every_model_of_the_registry_has_its_file_and_nothing_else_is_a_model():
    folder = Path(contract.__file__).parent
    assert {path.stem for path in folder.glob("*.py") if is_model(path.stem)} == set(MODELS)
    assert not any(map(is_model, ("nowhere", "", "..files", "os", "a.b")))


@pytest.fixture
def write_model(tmp_path, monkeypatch):
    """`write_model("text")` -> the name of a model file with this text."""
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])

    def write(text: str) -> str:
        name = f"mine{len(sys.modules)}"
        (tmp_path / f"{name}.py").write_text(f"from colorize.models.contract import *\n{text}")
        return name

    return write


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a model; set NETWORK to a class derived from Network or Classifier"),
        ("NETWORK = 3", "not a model"),
        ("NETWORK = dict", "not a model"),
        ("class A(Network): pass\nNETWORK = A", "A has no attribute multiple_of"),
        ("class A(Classifier): multiple_of = 1\nNETWORK = A", "A has no attribute head_stride"),
    ],
)
def test_a_file_that_defines_no_model_is_one_line(write_model, text, words):
    name = write_model(text)
    with pytest.raises(DataError) as caught:
        contract.build_model(name, 1.0)
    assert str(caught.value).startswith(f"colorize/models/{name}.py: ") and words in str(caught.value)


@pytest.mark.parametrize("name", MODELS)
def test_the_papers_models_return_what_they_promise(name):
    model = small(name)
    state = torch.get_rng_state()
    contract.check_output(name, model)
    assert model.training and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("change", ["stride", "channels", "kernel", "size"])
def test_a_network_that_returns_another_shape_is_refused(change):
    """On a GPU, training would otherwise read targets of other pixels, or beyond them."""
    model = small("regression" if change == "size" else "cnn")
    if change == "stride":
        model.head_stride = 1
    elif change == "channels":
        model.head = torch.nn.Conv2d(model.head.in_channels, 312, 1)
    elif change == "kernel":
        model.head = torch.nn.Conv2d(model.head.in_channels, 313, 3, padding=1)
    else:
        model.block5 = torch.nn.MaxPool2d(2)
    with pytest.raises(DataError, match=r"colorize/models/mine\.py: (the output has shape .*, expected|the head must)"):
        contract.check_output("mine", model)


@pytest.mark.parametrize("name", ["regression", "cnn", "unet"])
def test_models_take_any_size_that_their_pooling_divides(name):
    model = small(name).eval()
    height, width = 2 * model.multiple_of, 3 * model.multiple_of
    output = model(torch.rand(1, 1, height, width))
    assert to_ab_norm(output, (height, width)).shape == (1, 2, height, width)


@pytest.mark.parametrize(("name", "parameters"), [("cnn", 9_889_785), ("unet", 17_061_049), ("regression", 248_818)])
def test_parameters_at_width_one_are_counted_as_in_the_method(name, parameters):
    with torch.device("meta") if name != "regression" else torch.device("cpu"):
        model = build_model(name, 1.0)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_weighted_models_are_the_same_networks():
    assert type(small("cnn")) is type(small("cnn_weighted"))
    assert type(small("unet")) is type(small("unet_weighted"))
    assert MODELS["cnn_weighted"] == MODELS["cnn"]._replace(is_weighted=True)
    assert MODELS["unet_weighted"] == MODELS["unet"]._replace(is_weighted=True)


def test_channels_never_vanish():
    assert blocks.scaled(64, 1e-6) == 1
    assert blocks.scaled(64, 0.25) == 16


def test_regression_is_cut_after_the_first_layer_of_resnet18():
    model = small("regression")
    assert model.encoder(torch.rand(1, 1, 64, 64)).shape == (1, 64, 16, 16)
    convolutions = [m for m in model.encoder.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 5  # the stem and layer1's four
    assert convolutions[0].in_channels == 1


def test_regressions_width_scales_the_decoder_alone():
    def count(module):
        return sum(parameter.numel() for parameter in module.parameters())

    narrow, wide = build_model("regression", 0.25), build_model("regression", 0.5)
    assert count(narrow.encoder) == count(wide.encoder)
    assert count(narrow.block2) < count(wide.block2)


def test_the_decoders_last_layer_is_linear_so_that_ab_may_be_negative():
    output = small("regression")(torch.rand(2, 1, 16, 16))
    assert output.min() < 0 < output.max()


@pytest.mark.parametrize(("block", "skip"), [("block6", "block3"), ("block7", "block2"), ("block8", "block1")])
def test_a_unets_skip_is_added_to_its_block(block, skip):
    """What the block would be handed without the sum is its input alone; with it, exactly the earlier block more."""
    model, seen = small("unet").eval(), {}

    def keep(name):
        return lambda _module, inputs, output: seen.update({name: (inputs, output)})

    for name in (block, skip):
        getattr(model, name).register_forward_hook(keep(name))
    model(torch.rand(1, 1, 16, 16))
    up = getattr(model, block)
    (x, received), output = seen[block]
    assert torch.equal(received, seen[skip][1])
    assert torch.equal(up.rest(torch.relu(up.first(x) + received)), output)


def test_a_block_upsamples_by_nearest_and_convolves_with_its_own_weights():
    torch.manual_seed(0)
    up, x = blocks.UpConv2d(6, 4).double(), torch.randn(2, 6, 3, 5, dtype=torch.float64)
    upsampled = functional.interpolate(x, scale_factor=2, mode="nearest")
    expected = functional.conv2d(upsampled, up.weight, up.bias, padding=1)
    torch.testing.assert_close(up(x), expected, rtol=1e-12, atol=1e-12)


def test_the_weights_of_a_block_keep_their_names_so_that_saved_models_can_be_loaded():
    assert [name for name, _ in blocks.UpBlock(6, 4).named_parameters()] == [
        "first.weight", "first.bias", "rest.0.weight", "rest.0.bias",
    ]  # fmt: skip


def test_all_three_skips_reach_the_output():
    model, L_norm = small("unet").eval(), torch.rand(1, 1, 16, 16)
    before = model(L_norm)
    for skip in model.skips.values():
        handle = getattr(model, skip).register_forward_hook(lambda _module, _inputs, output: output + 1)
        assert not torch.equal(model(L_norm), before)
        handle.remove()
    for block in model.skips:
        plain = getattr(model, block)
        original = plain.forward
        plain.forward = lambda x, _skip, original=original: original(x)  # as if the skip were forgotten
        assert not torch.equal(model(L_norm), before), block
        plain.forward = original
    assert torch.equal(model(L_norm), before)


def test_imagenet_weights_that_cannot_be_downloaded_are_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # where no weights lie
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nobody listens
    with pytest.raises(
        DataError, match=r"train.pretrained: cannot get the ImageNet weights \(.*\); connect to the network, or set it"
    ):
        build_model("regression", WIDTH, pretrained=True)


def test_the_cnn_has_no_skips():
    assert describe.describe("cnn", small("cnn"), WIDTH, 16)["skips"] == {}


def test_a_description_is_read_off_the_modules():
    model = build_model("unet", 0.25)
    found = describe.describe("unet", model, 0.25, 64)
    assert (found["model"], found["width"]) == ("unet", 0.25)
    assert found["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert found["input"] == [1, 64, 64]
    assert found["skips"] == {"block6": "block3", "block7": "block2", "block8": "block1"}
    assert [block["name"] for block in found["blocks"]] == [*(f"block{n}" for n in range(1, 9)), "head"]
    assert [block["size"] for block in found["blocks"]] == [64, 32, 16, 8, 8, 16, 32, 64, 64]
    assert [block["out_channels"] for block in found["blocks"]] == [16, 32, 64, 128, 128, 64, 32, 16, 313]
    first, head = found["blocks"][0], found["blocks"][-1]
    assert first["convolutions"] == [[1, 16], [16, 16]]
    assert first["parameters"] == (9 + 1) * 16 + (9 * 16 + 1) * 16 + 2 * 16
    assert (first["batch_norm"], head["batch_norm"]) == (True, False)
    assert sum(block["parameters"] for block in found["blocks"]) == found["parameters"]


def test_describing_changes_neither_mode_nor_statistics():
    model = small("cnn").train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    describe.describe("cnn", model, WIDTH, 16)
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("name", ["cnn", "cnn_weighted", "unet", "unet_weighted"])
def test_the_heads_bias_starts_training_at_the_constant_priors_loss(name, data_files):
    """With the features' share of the logits taken away the model is the constant prior, exactly."""
    prior = torch.from_numpy(np.load(data_files / "prior_probs.npy"))
    is_weighted = MODELS[name].is_weighted
    weights = torch.from_numpy(rebalancing_weights(prior.numpy())) if is_weighted else torch.ones(313)
    start = (prior * weights).float()
    model = small(name).eval()
    blocks.set_head_bias(model.head, start)
    torch.nn.init.zeros_(model.head.weight)
    ab_norm = torch.rand(2, 2, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.4 - 0.2
    found = Objective(model, weights.float(), OPTIONS)(torch.rand(2, 1, 16, 16), ab_norm)
    target = targets.weigh(targets.soft_targets(ab_norm, OPTIONS), ab_norm, weights.float())
    expected = -(target.values * (start / start.sum()).log()[target.bins]).sum(-1).mean()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_classes_are_upsampled_by_nearest_to_colors():
    logits = torch.zeros(1, 313, 1, 2)
    logits[0, 10, 0, 0] = logits[0, 20, 0, 1] = 1
    ab = to_ab_norm(logits, (2, 4)) * 128
    assert ab[0, :, 0, :2].t().tolist() == ab[0, :, 1, :2].t().tolist()
    assert ab[0, :, 0].t().tolist() == [gamut.GAMUT_AB[n].tolist() for n in (10, 10, 20, 20)]


def test_a_temperature_takes_the_annealed_mean_instead_of_the_mode():
    logits = torch.randn(1, 313, 2, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(to_ab_norm(logits, (2, 2), 0.38), gamut.annealed_mean(logits, 0.38) / 128)
