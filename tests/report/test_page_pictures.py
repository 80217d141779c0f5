"""The pictures of the page: the right picture, the right number, and why an image is among the failures."""

import base64
import io
import math

import numpy as np
import pytest
from PIL import Image

from colorize.layout import Cell
from colorize.report import page
from colorize.report.evidence import gather
from colorize.report.page import failures, gallery, measured, pictures


def decoded(address: str) -> np.ndarray:
    """The pixels of a sprite, (H, W, 3)."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB"))


def own(inputs, model: str = "cnn", target: str = "a") -> Cell:
    return Cell(inputs.datasets[0], model, target)


def test_a_lossless_sprite_has_the_pictures_row_by_row():
    images = np.random.default_rng(0).integers(0, 256, (10, 4, 4, 3), dtype=np.uint8)
    sheet = decoded(pictures.sprite(images, is_lossless=True))
    assert sheet.shape == (8, 32, 3)
    assert np.array_equal(sheet[4:8, 4:8], images[9])


def test_a_lossy_sprite_keeps_the_resolution_of_the_colors():
    image = np.full((1, 16, 16, 3), (120, 60, 60), dtype=np.uint8)
    image[:, :, ::2] = (40, 100, 60)  # columns of one pixel, about as light as those between them
    error = np.abs(decoded(pictures.sprite(image))[:16, :16].astype(int) - image[0])
    assert error.max() <= 12  # with half the resolution of the colors: 40


def test_large_pictures_are_reduced_and_the_page_says_so(make_run):
    run = make_run(("a",), ("cnn",))
    large = np.zeros((12, 160, 160, 3), np.uint8)
    run.write_predictions("a", "cnn", "a", truth=large, gray=large[..., 0], predicted=large, annealed_mean=large)
    section = gallery.build(gather(run.inputs))
    assert section.data["targets"][0]["side"] == 128
    assert decoded(section.data["targets"][0]["truth"]).shape == (256, 1024, 3)
    assert "reduced to 128" in page.assemble([section], "title")


def test_the_entropy_map_goes_from_dark_to_bright_and_its_scale_is_one_of_numbers_of_colors():
    colors = pictures.entropy_colors(np.array([[[0.0, math.log(313), 9.0, -1.0]]]))[0, 0]
    assert colors.tolist() == [[68, 1, 84], [253, 231, 37], [253, 231, 37], [68, 1, 84]]
    scale = pictures.entropy_scale()
    assert scale["colors"][0] == "#440154" and scale["colors"][-1] == "#fde725"
    assert scale["ticks"][0] == [1, 0.0] and scale["ticks"][-1] == [313, 1.0]
    assert scale["ticks"][2] == [10, pytest.approx(math.log(10) / math.log(313), abs=1e-4)]


def test_many_models_have_fewer_pictures_so_that_the_page_stays_small(make_run, monkeypatch):
    inputs = make_run(("a", "b"), ("cnn", "regression")).inputs
    assert gallery.image_count(inputs) == 40
    pictures_of_an_image = 4 * (3 + 1) * 8 * 8  # four cells of each model, with two decodings and a map, or one picture
    monkeypatch.setattr(gallery, "PIXELS", 20 * pictures_of_an_image)
    assert gallery.image_count(inputs) == 20
    monkeypatch.setattr(gallery, "PIXELS", 1)
    assert gallery.image_count(inputs) == gallery.FEWEST


def test_the_images_are_evenly_spaced_and_the_same_for_all_models(make_run):
    inputs = make_run(("a",), ("cnn", "unet")).inputs
    assert gallery.chosen(inputs.predictions(own(inputs)), 4).tolist() == [0, 30, 60, 90]
    images = gallery.build(gather(inputs)).data["targets"][0]["images"]
    assert [image[0] for image in images] == [10 * n for n in range(10)]
    assert images[1] == [10, "photo1.jpg", "photo1.jpg", ""] and images[5][3] == "photo 1"  # the group


def test_each_picture_is_that_of_its_key_whatever_else_a_model_has_saved(make_run):
    run = make_run(("a",), ("cnn", "unet"))
    shown = np.stack([np.full((8, 8, 3), 10 * n, np.uint8) for n in range(12)])
    run.write_predictions(
        "a", "unet", "a", predicted=shown, key=np.arange(11, -1, -1) * 10, is_saved=np.arange(12) < 10
    )
    sheet = decoded(gallery.build(gather(run.inputs)).data["runs"][0][0][1]["pictures"]["mode"])
    assert abs(int(sheet[4, 4, 0]) - 110) <= 2  # of key 0, the last in the file
    assert abs(int(sheet[4, 12, 0]) - 100) <= 2


def test_a_run_without_saved_images_has_no_pictures(make_run):
    run = make_run(("a",), ("cnn",))
    run.write_predictions("a", "cnn", "a", is_saved=np.zeros(12, bool))
    evidence = gather(run.inputs)
    assert gallery.build(evidence) is None
    assert failures.build(evidence) is None


def test_a_regression_has_neither_entropy_nor_a_second_decoding(make_run):
    data = gallery.build(gather(make_run(("a",), ("regression",)).inputs)).data
    run = data["runs"][0][0][0]
    assert list(run["pictures"]) == list(run["measures"]) == ["mode"]
    assert "entropy" not in run and "entropy" not in [name for name, *_ in data["measures"]]


def test_the_measures_belong_to_the_picture_its_decoding_and_the_first_seed(make_run):
    run = make_run(("a",), ("cnn",), (3, 7))
    run.write_metrics("a", "cnn", "a", 3, l2=0.25)
    run.write_decoding("a", "cnn", "a", "annealed_mean", 3, l2=0.125)
    section = gallery.build(gather(run.inputs))
    measures = section.data["runs"][0][0][0]["measures"]
    assert measures["mode"]["l2"][2] == round(0.25 - 0.035, 4)  # the other seed has 0.5
    assert measures["annealed_mean"]["l2"][2] == round(0.125 - 0.035, 4)
    assert "seed 3" in page.assemble([section], "title")


def test_all_measures_can_sort_and_have_their_direction(make_run):
    data = gallery.build(gather(make_run(("a",), ("cnn",)).inputs)).data
    found = {name: rest for name, *rest in data["measures"]}
    assert list(found)[:3] == ["l2", "entropy", "l1"]
    assert found["accuracy"][1] == "higher" and found["l2"][1] == "lower" and found["colorfulness"][1] is None
    assert {"cross_entropy", "weight", "weighted"} <= {*found}


def test_measures_are_found_by_key_and_divided_by_their_weights(make_run):
    inputs = make_run(("a",), ("cnn",)).inputs
    found = measured.measures_of(inputs, own(inputs), np.array([70, 20]))
    assert found["weighted"].tolist() == pytest.approx([0.7, 0.2])
    assert found["l2"].tolist() == pytest.approx([0.5 + 0.015, 0.5 - 0.035])


@pytest.fixture
def planted(make_run):
    """A run with one image of each kind of failure, in a single model."""
    run = make_run(("a",), ("cnn", "regression"))
    l2, ours, true = np.full(12, 0.01), np.full(12, 30.0), np.full(12, 32.0)
    l2[[3, 5]], true[6], ours[7] = (0.08, 0.06), 80, 75
    arrays = {"l2": l2, "colorfulness": ours, "true_colorfulness": true}
    for model in run.models:
        run.write_metrics("a", model, "a", true_colorfulness=32.0)
        run.write_per_image("a", model, "a", **{name: array.astype(np.float32) for name, array in arrays.items()})
    entropy = np.full((12, 4, 4), math.log(20), np.float16)
    entropy[5], entropy[8] = math.log(2), math.log(200)
    run.write_predictions("a", "cnn", "a", entropy=entropy)
    return run.inputs


def test_each_kind_of_failure_starts_with_its_clearest_image(planted):
    found = dict(failures.find(failures.judge(planted, own(planted))))
    assert {kind: rows[0] for kind, rows in found.items()} == {
        "wrong": 3, "gray": 6, "colorful": 7, "unsure": 8, "sure": 5,
    }  # fmt: skip
    assert found["gray"] == [6] and found["colorful"] == [7] and found["sure"] == [5]  # no others are notable


def test_a_regression_is_never_sure_or_unsure(planted):
    found = dict(failures.find(failures.judge(planted, own(planted, "regression"))))
    assert [*found] == ["wrong", "gray", "colorful"]


@pytest.mark.parametrize(
    ("kind", "row", "sentence"),
    [
        ("wrong", 3, "The L2 is 0.0800; the median over the images is 0.0100."),
        ("gray", 6, "The colorfulness is 30.0; that of the true picture is 80.0."),
        ("colorful", 7, "The colorfulness is 75.0; that of the true picture is 32.0."),
        ("unsure", 8, "The model thinks about 200 colors possible (median: 20)."),
        (
            "sure",
            5,
            "The model thinks about 2 colors possible (median: 20), but the L2 is 0.0600; "
            "the median over the images is 0.0100.",
        ),
    ],
)
def test_a_sentence_says_why_an_image_is_listed(planted, kind, row, sentence):
    assert failures.reason(kind, failures.judge(planted, own(planted)), row) == sentence


def test_every_model_has_its_failures_on_every_data_set(make_run):
    section = failures.build(gather(make_run(("a", "b"), ("cnn", "unet")).inputs))
    titles = [(run["target"], run["source"], run["model"]) for run in section.values["runs"]]
    assert titles[:3] == [("a", "a", "CNN"), ("a", "a", "Unet"), ("a", "b", "CNN")] and len(titles) == 8
    assert len(section.data["predicted"]) == 8 and len(section.data["targets"]) == 2


@pytest.mark.parametrize("kind", ["truth", "gray"])
def test_the_pictures_of_a_failure_are_those_of_its_key(planted, kind):
    section = failures.build(gather(planted))
    sheet = decoded(section.data["targets"][0][kind]).astype(int)
    pictured = getattr(planted.predictions(own(planted)), kind).astype(int).reshape(12, 8, 8, -1)
    listed = [image for run in section.values["runs"] for group in run["groups"] for image in group["images"]]
    for image in listed:
        row, column = divmod(image["shared"], 8)
        shown = sheet[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        assert 10 * np.abs(shown - pictured).mean(axis=(1, 2, 3)).argmin() == image["key"]
    assert len({image["shared"] for image in listed}) == len({image["key"] for image in listed})  # each only once


def test_all_words_are_readable_without_javascript_and_names_are_escaped(make_run):
    run = make_run(("a",), ("cnn",))
    run.write_predictions("a", "cnn", "a", source=np.array([f'folder/{n}"><img src=x>' for n in range(12)]))
    html = page.assemble([failures.build(gather(run.inputs))], "title")
    assert "Wrong colors" in html and "The L2 is 0.555" in html
    assert "<img" not in html and "&lt;img src=x&gt;" in html
