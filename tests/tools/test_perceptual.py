"""`tools/perceptual.py`: LPIPS and FID, compared with their formulas on networks with random weights."""

import hashlib
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import linalg
from torch import nn

from colorize.color import cielab
from colorize.models import contract, files
from colorize.runtime import DataError, ParameterError
from tools import perceptual

PACKAGES = ("torchmetrics", "torch_fidelity")
needs_packages = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, PACKAGES)),
    reason="torchmetrics and torch-fidelity are not installed; run `python -m pip install -r requirements.txt`",
)


class Difference:
    """A stand-in for LPIPS: half of the mean absolute difference, which is in [0, 1] for images in [-1, 1]."""

    to = reset = lambda self, *_: self

    def update(self, predicted: torch.Tensor, truth: torch.Tensor) -> None:
        assert predicted.shape == truth.shape
        self.value = (predicted - truth).abs().mean() / 2

    def compute(self) -> torch.Tensor:
        return self.value


class Moments(nn.Module):
    """A stand-in for Inception-v3 with 4 features: the mean of each channel, and the mean contrast."""

    num_features = 4

    def forward(self, rgb: torch.Tensor) -> torch.Tensor:
        assert rgb.dtype == torch.uint8
        return self.of(rgb.double())

    @staticmethod
    def of(rgb: torch.Tensor) -> torch.Tensor:
        return torch.cat([rgb.mean(dim=(2, 3)), rgb.std(dim=3).mean(dim=(1, 2))[:, None]], dim=1)


def darken(rgb: np.ndarray) -> np.ndarray:
    return (rgb * 0.8).astype(np.uint8)


@pytest.fixture
def model(tiny, tmp_path, monkeypatch) -> Path:
    """An untrained model in a repository with the tiny data set."""
    monkeypatch.chdir(tiny.folders.root)
    monkeypatch.setenv("COLORIZE_DEVICE", "cpu")
    monkeypatch.setattr(perceptual, "_check_packages", lambda: None)
    monkeypatch.setattr(perceptual, "_check_weights", lambda _: None)
    monkeypatch.setattr(perceptual, "new_lpips", Difference)
    torch.manual_seed(0)
    sidecar = {"model": "unet", "width": 0.05, "size": 16, "dataset": "tiny"}
    files.save(tmp_path / "unet", contract.build_model("unet", 0.05), sidecar)
    return tmp_path / "unet"


# --- the measures ----------------------------------------------------------------------------------------------------


@needs_packages
def test_lpips_is_that_of_the_formula(images_of, monkeypatch):
    """Zhang et al. 2018, eq. 1, with the trained weights of the channels (w) that torchmetrics contains."""
    import torchmetrics
    import torchvision

    torch.manual_seed(0)
    layers = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"])
    monkeypatch.setattr(torchvision.models, "vgg16", lambda weights: SimpleNamespace(features=layers))
    rgb = images_of(2, size=32)
    candidate = perceptual.Candidate("dark", darken, None)
    perceptual.measure(iter(rgb), [candidate], perceptual.new_lpips(), "cpu")

    saved = Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models" / "vgg.pth"
    channel_weights = [w.flatten().double() for _, w in sorted(torch.load(saved, map_location="cpu").items())]
    layers.double()
    expected = []
    for image in rgb:
        layered = zip(channel_weights, features_of(layers, image), features_of(layers, darken(image)), strict=True)
        expected.append(sum(float((w @ (x - y).square().flatten(1)).mean()) for w, x, y in layered))
    assert min(expected) > 0.001
    assert candidate.lpips == pytest.approx(expected, rel=1e-4)


def features_of(layers: nn.Sequential, rgb: np.ndarray) -> list[torch.Tensor]:
    """Outputs of the last ReLU before each pooling, (C, H, W), each pixel divided by its norm."""
    mean, deviation = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])  # of ImageNet, for images in [0, 1]
    x = (torch.from_numpy(rgb).double() / 255 - torch.tensor(mean)) / torch.tensor(deviation)
    x = x.movedim(-1, 0)[None]
    found = []
    for layer in layers:
        if isinstance(layer, nn.MaxPool2d):
            found.append(x[0] / x[0].norm(dim=0))
        x = layer(x)
    return found


@needs_packages
def test_fid_is_the_frechet_distance_of_the_two_sets(images_of, monkeypatch):
    from torchmetrics.image.fid import FrechetInceptionDistance

    monkeypatch.setattr(perceptual, "FEATURES", Moments.num_features)
    rgb = images_of(12)
    candidate = perceptual.Candidate("dark", darken, FrechetInceptionDistance(feature=Moments()))
    perceptual.measure(iter(rgb), [candidate], Difference(), "cpu")

    sets = [Moments.of(torch.from_numpy(x).movedim(-1, 1).double()).numpy() for x in (rgb, darken(rgb))]
    (mean, cov), (other_mean, other_cov) = ((x.mean(axis=0), np.cov(x, rowvar=False)) for x in sets)
    root = linalg.sqrtm(cov @ other_cov).real
    expected = ((mean - other_mean) ** 2).sum() + np.trace(cov + other_cov - 2 * root)
    assert candidate.fid() == pytest.approx(expected, rel=1e-6)
    assert expected > 1


@needs_packages
def test_no_fid_of_as_many_images_as_features(images_of, monkeypatch):
    from torchmetrics.image.fid import FrechetInceptionDistance

    monkeypatch.setattr(perceptual, "FEATURES", Moments.num_features)
    for count, is_given in ((4, False), (5, True)):
        candidate = perceptual.Candidate("dark", darken, FrechetInceptionDistance(feature=Moments()))
        perceptual.measure(iter(images_of(count)), [candidate], Difference(), "cpu")
        assert (candidate.fid() is not None) == is_given


@needs_packages
def test_the_network_of_fid_reads_its_file_and_gives_2048_features(monkeypatch):
    from torch_fidelity import feature_extractor_inceptionv3 as inception

    read = []
    monkeypatch.setattr(inception.torch, "load", lambda path, **_: read.append(path))
    monkeypatch.setattr(inception.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
    fid = perceptual.new_fid()
    assert read == [str(perceptual.INCEPTION.path)]
    assert not fid.inception.use_antialias  # resizes as the code of the authors of FID does
    assert fid.inception(torch.zeros(1, 3, 75, 75, dtype=torch.uint8)).shape == (1, 2048)


def test_gray_keeps_only_the_lightness(images_of):
    (rgb,) = images_of(1)
    gray = perceptual.gray(rgb)
    before, after = (cielab.rgb_to_lab(torch.from_numpy(x).movedim(-1, 0))[0] for x in (rgb, gray))
    assert gray.dtype == np.uint8
    assert (np.ptp(gray, axis=2) <= 1).all()  # rounding may change a channel by one level
    assert (before - after).abs().max() < 0.5  # about one 8-bit level


# --- the command -----------------------------------------------------------------------------------------------------


def test_test_images_have_the_warning_that_they_are_small(model, capsys):
    perceptual.main(str(model))
    title, header, first, second, note = capsys.readouterr().out.splitlines()
    assert title == "6 test images of tiny, 16 px; not comparable with other tables, which use 256 px"
    assert header.split() == ["LPIPS", "FID"]
    assert (first.split()[0], second.split()[0]) == (str(model), "gray")
    assert all(0 < float(line.split()[1]) < 1 and line.split()[2] == "-" for line in (first, second))
    assert note == "lower is better; FID needs more than 2,048 images"


def test_photos_are_cropped_and_resized_and_other_files_are_counted(model, tmp_path, capsys, monkeypatch):
    shapes = []
    monkeypatch.setattr(perceptual, "gray", lambda rgb: shapes.append(rgb.shape) or rgb)
    (tmp_path / "photos" / "more").mkdir(parents=True)
    Image.effect_noise((300, 280), 50).convert("RGB").save(tmp_path / "photos" / "a.jpg")
    Image.effect_noise((40, 50), 50).convert("RGB").save(tmp_path / "photos" / "more" / "b.png")
    (tmp_path / "photos" / "notes.txt").write_text("no photo")
    perceptual.main(str(model), str(tmp_path / "photos"))
    said = capsys.readouterr()
    assert said.out.startswith(f"2 photos in {tmp_path / 'photos'}, 256 px (1 skipped)\n")
    assert f"skipped {tmp_path / 'photos' / 'notes.txt'}: not an image\n" in said.err
    assert shapes == [(256, 256, 3)] * 2
    assert said.out.splitlines()[3].split() == ["gray", "0.0000", "-"]  # the stand-in returned the photo itself


def test_fid_is_measured_where_there_are_enough_images(model, monkeypatch, capsys):
    sets = []

    class Sets:
        def to(self, _):
            return self

        def update(self, images, real):
            sets.append((tuple(images.shape), real))

        def compute(self):
            return torch.tensor(12.25)

    monkeypatch.setattr(perceptual, "FEATURES", 5)
    monkeypatch.setattr(perceptual, "new_fid", Sets)
    perceptual.main(str(model))
    assert sets.count(((1, 3, 16, 16), True)) == sets.count(((1, 3, 16, 16), False)) == 12  # 6 images, 2 candidates
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split()[2] == lines[3].split()[2] == "12.25"
    assert lines[4] == "lower is better; compare FID only for equal numbers of images"


@pytest.mark.parametrize(
    ("names", "words"),
    [(None, "no such folder"), ([], "no files in this folder"), (["notes.txt"], "no image could be used")],
)
def test_a_folder_without_photos_is_refused(model, tmp_path, expect_one_line, names, words):
    folder = tmp_path / "photos"
    if names is not None:
        folder.mkdir()
        for name in names:
            (folder / name).touch()
    with expect_one_line(DataError, folder, words):
        perceptual.main(str(model), str(folder))


# --- what a user may lack --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", PACKAGES)
def test_a_missing_package_is_one_line_with_the_command(monkeypatch, expect_one_line, missing):
    monkeypatch.setattr(perceptual.importlib.util, "find_spec", lambda name: None if name == missing else name)
    with expect_one_line(ParameterError, missing, "run `python -m pip install -r requirements.txt`"):
        perceptual.main("unet")


@pytest.fixture
def small(tmp_path, monkeypatch) -> perceptual.Weights:
    """A file of weights that is where torch looks for it, and named after its SHA-256."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    digest = hashlib.sha256(b"weights").hexdigest()
    weights = perceptual.Weights(f"https://example.org/net-{digest[:8]}.pth", 7)
    assert weights.path == tmp_path / "hub" / "checkpoints" / f"net-{digest[:8]}.pth"
    weights.path.parent.mkdir(parents=True)
    weights.path.write_bytes(b"weights")
    return weights


def test_missing_weights_are_one_line_with_the_command_that_downloads_them(small, expect_one_line):
    perceptual._check_weights([small])
    small.path.unlink()
    command = f"`curl --fail --location --create-dirs --output '{small.path}' {small.url}`"
    with expect_one_line(DataError, f"{small.path}: no such file; download it (7 MB) with {command}"):
        perceptual._check_weights([small])


def test_damaged_weights_are_one_line_with_both_checksums(small, expect_one_line):
    small.path.write_bytes(b"weight")
    found = hashlib.sha256(b"weight").hexdigest()[:8]
    with expect_one_line(DataError, small.path, f"begins with {found}, expected {small.digest}", small.url):
        perceptual._check_weights([small])


@pytest.mark.parametrize(("features", "needed"), [(5, [perceptual.VGG, perceptual.INCEPTION]), (6, [perceptual.VGG])])
def test_only_fid_needs_the_weights_of_inception(model, monkeypatch, features, needed):
    asked = []

    def check(weights: list[perceptual.Weights]) -> None:
        asked.extend(weights)
        raise DataError("missing")

    monkeypatch.setattr(perceptual, "FEATURES", features)
    monkeypatch.setattr(perceptual, "_check_weights", check)
    with pytest.raises(DataError):
        perceptual.main(str(model))  # six test images
    assert asked == needed


def test_torch_looks_for_the_weights_of_vgg_where_they_are_expected():
    import torchvision

    assert torchvision.models.VGG16_Weights.DEFAULT.url == perceptual.VGG.url


@needs_packages
def test_torch_fidelity_names_the_same_weights():
    from torch_fidelity import feature_extractor_inceptionv3 as inception

    assert perceptual.INCEPTION.url == inception.URL_INCEPTION_V3
