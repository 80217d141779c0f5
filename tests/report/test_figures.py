"""Which images the figures show, and how a sheet is composed."""

import io

import numpy as np
import pytest
from PIL import Image

from colorize.layout import Cell, Run
from colorize.report import figures, grid
from colorize.runtime import DataError


def test_columns_are_the_most_colorful_of_equal_stretches_of_the_saved(make_run):
    run = make_run(("a",), ("cnn",))
    truth = np.full((12, 8, 8, 3), 128, np.uint8)
    truth[[2, 3], :, :4] = [255, 0, 0]  # a tie
    truth[[9, 11], :, :4] = [0, 0, 255]  # 11 is not saved
    run.write_predictions("a", "cnn", "a", truth=truth)
    keys = figures.select_varied(run.inputs.predictions(Cell("a", "cnn", "a")), 2)
    assert keys.tolist() == [20, 90]


def test_a_column_is_unlike_those_before_it_if_its_stretch_has_such_an_image(make_run):
    run = make_run(("a",), ("cnn",))
    truth = np.full((12, 8, 8, 3), 128, np.uint8)
    truth[[2, 9], :, :4] = [255, 0, 0]
    truth[6, :, :4] = [90, 110, 130]  # less colorful than 9, but new
    run.write_predictions("a", "cnn", "a", truth=truth)
    assert figures.select_varied(run.inputs.predictions(Cell("a", "cnn", "a")), 2).tolist() == [20, 60]


def test_moved_crops_of_one_photo_are_skipped_and_fill_up_in_order():
    red, blue = np.zeros((2, 16, 16, 3), np.uint8)
    red[:, :8], blue[:, :8] = [255, 0, 0], [0, 0, 255]
    images = np.stack([red, np.roll(red, 5, axis=1), red[::-1], blue, np.roll(blue, 1, axis=0)])
    assert figures.select_unlike(images, 2) == [0, 3]
    assert figures.select_unlike(images, 4) == [0, 1, 2, 3]
    assert figures.select_unlike(images, 9) == [0, 1, 2, 3, 4]


def test_what_fills_up_is_least_like_the_chosen():
    images = np.stack([np.full((8, 8, 3), value, np.uint8) for value in (100, 105, 115, 110)])
    assert figures.select_unlike(images, 2) == [0, 2]


def test_worst_predictions_are_of_different_images(make_run):
    run = make_run(("a",), ("cnn",))
    truth = np.full((12, 8, 8, 3), 128, np.uint8)
    truth[9] = [255, 0, 0]
    run.write_predictions("a", "cnn", "a", truth=truth)
    (group,) = figures.worst(run.inputs, "a", ["cnn"], 2)
    assert group.rows[1].captions == ["L2 0.110", "L2 0.090"]


def test_no_more_columns_than_saved_images(make_run):
    keys = figures.select_varied(make_run(("a",), ("cnn",)).inputs.predictions(Cell("a", "cnn", "a")), 50)
    assert keys.tolist() == [10 * i for i in range(10)]


def test_same_domain_figure_has_input_models_truth(make_run):
    run = make_run()
    (group,) = figures.same_domain(run.inputs, "scenes", 3)
    labels = [row.label for row in group.rows]
    assert labels == ["input", "Regression", "CNN", "CNN\nwith Weights", "Unet", "Unet\nwith Weights", "ground truth"]
    assert {len(row.images) for row in group.rows} == {3}
    assert group.rows[0].images[0].shape == (8, 8)
    assert group.rows[1].images[0][0, 0, 0] == 40  # by the models trained on scenes
    truth = run.inputs.predictions(Cell("scenes", "cnn", "scenes")).truth
    assert np.array_equal(group.rows[-1].images[0][..., 1], group.rows[0].images[0])
    assert any(np.array_equal(group.rows[-1].images[0], image) for image in truth)


def test_worst_are_ordered_by_error(make_run):
    groups = figures.worst(make_run().inputs, "scenes", ["regression", "cnn"], 4)
    assert [group.title for group in groups] == ["Baseline Regression, trained on Scenes", "CNN, trained on Scenes"]
    assert [row.label for row in groups[0].rows] == ["input", "prediction", "ground truth"]
    assert groups[0].rows[1].captions == ["L2 0.110", "L2 0.100", "L2 0.090", "L2 0.080"]


def test_named_images_come_in_the_order_asked_for(make_run):
    run = make_run()
    (group,) = figures.named(run.inputs, Cell("objects", "cnn", "scenes"), [30, 10])
    truth = run.inputs.predictions(Cell("objects", "cnn", "scenes")).truth
    assert np.array_equal(group.rows[2].images, truth[[3, 1]])


def test_unknown_named_key_is_refused(make_run):
    with pytest.raises(DataError, match=r"no image with key 7 .*evaluate\.named"):
        figures.named(make_run(("a",), ("cnn",)).inputs, Cell("a", "cnn", "a"), [7])


def test_cross_domain_shows_both_directions(make_run):
    groups = figures.cross_domain(make_run().inputs, "unet", ("objects", "scenes"), 2)
    assert [[row.label for row in group.rows] for group in groups] == [
        ["input", "trained on\nObjects", "trained on\nScenes", "ground truth"],
        ["input", "trained on\nScenes", "trained on\nObjects", "ground truth"],
    ]
    assert [row.images[0][0, 0, 0] for row in groups[1].rows[1:3]] == [40, 20]


def test_damaged_predictions_name_the_stage(make_run):
    run = make_run(("a",), ("cnn",))
    (run.folders.evaluation(Run("a", "cnn", 0), "a") / "predictions.npz").write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(DataError, match=r"verify --repair .* && dvc repro evaluate@a-cnn"):
        run.inputs.predictions(Cell("a", "cnn", "a"))


@pytest.mark.parametrize("name", ["is_worst", "source"])
def test_predictions_without_an_array_name_it(make_run, name):
    run = make_run(("a",), ("cnn",))
    run.write_predictions("a", "cnn", "a", **{name: None})
    with pytest.raises(DataError, match=name):
        run.inputs.predictions(Cell("a", "cnn", "a"))


def test_sheet_places_tiles_in_columns_right_of_the_labels():
    red, blue = (np.full((8, 8, 3), color, np.uint8) for color in ([255, 0, 0], [0, 0, 255]))
    sheet = grid.compose(
        [grid.PhotoGroup([grid.PhotoRow("a", [red, blue]), grid.PhotoRow("longer label", [blue, red])])]
    )
    tile, right = 8 * grid.SCALE, sheet.width - grid.MARGIN
    x1, x0 = right - tile // 2, right - tile - grid.GAP - tile // 2
    y0, y1 = grid.MARGIN + tile // 2, grid.MARGIN + tile + grid.GAP + tile // 2
    found = [sheet.getpixel(at) for at in ((x0, y0), (x1, y0), (x0, y1), (x1, y1))]
    assert found == [(255, 0, 0), (0, 0, 255), (0, 0, 255), (255, 0, 0)]
    assert sheet.height == 2 * grid.MARGIN + 2 * tile + grid.GAP


def test_jpeg_has_full_chroma_and_same_bytes_every_time():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    groups = [grid.PhotoGroup([grid.PhotoRow("noise", [image] * 3)], "Title")]
    first, second = (grid.encode_jpeg(grid.compose(groups)) for _ in range(2))
    assert first == second
    decoded = Image.open(io.BytesIO(first))
    assert [layer[1:3] for layer in decoded.layer] == [(1, 1)] * 3  # 4:4:4
    reference = io.BytesIO()
    grid.compose(groups).save(reference, "JPEG", quality=90)
    assert decoded.quantization == Image.open(io.BytesIO(reference.getvalue())).quantization


def test_large_sheet_is_kept_below_the_limit():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8))
    assert len(grid.encode_jpeg(noise, max_bytes=20_000)) < 20_000 < len(grid.encode_jpeg(noise))
