"""Evaluation of one cell: what it computes, what it writes for the report, what it refuses."""

import csv
import json
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from colorize.color import cielab, gamut
from colorize.color.targets import Options
from colorize.data.split import Split
from colorize.evaluation import evaluate, measuring
from colorize.evaluation.measures import MEASURES
from colorize.evaluation.measuring import Kind, Measure, Prediction
from colorize.layout import UNTRAINED, Folders, Run, runs_of
from colorize.models import files
from colorize.models.contract import build_model
from colorize.prior.files import load_array
from colorize.runtime import DataError

ALL = ["accuracy", "cross_entropy", "l1", "l2", "weighted_cross_entropy"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folder of a regression and a cnn for 16x16 images, untrained."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("regression", "cnn"):
        torch.manual_seed(0)
        files.save(folder / f"tiny-{name}-0", build_model(name, 0.03), {"model": name, "width": 0.03, "size": 16})
    return folder


def read(path) -> dict[str, np.ndarray]:
    """The arrays of a file."""
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture
def run(tiny, models, settings, tmp_path, linked):
    """`run(model, num_saved=...)` -> what was returned and written."""

    def evaluate_cell(model: str, shards=None, prior=None, **changes) -> SimpleNamespace:
        (evaluated,) = runs_of("tiny", model, [0])
        folders = linked(tmp_path / "run", shards or tiny.folders, prior or tiny.folders)
        (folders.root / "data" / "models").unlink(missing_ok=True)
        (folders.root / "data" / "models").symlink_to(models)
        section = settings.evaluate.model_copy(update={"num_saved": 3, "num_worst": 2, **changes})
        options = Options.of(settings.soft_targets)
        metrics = evaluate.evaluate([evaluated], "tiny", section, options, folders, "cpu")[evaluated]
        out = folders.evaluation(evaluated, "tiny")
        tables = {path.stem: read(path) for path in out.glob("*.npz")}
        details = json.loads((out / "details.json").read_text())
        predictions, table = tables.pop("predictions", None), tables.pop("per_image")
        return SimpleNamespace(
            metrics=metrics, predictions=predictions, table=table, decodings=tables, details=details, out=out
        )

    return evaluate_cell


@pytest.mark.parametrize(("model", "names"), [
    ("regression", ["l1", "l2"]), ("gray", ["l1", "l2"]), ("mean_ab", ["l1", "l2"]), ("median_ab", ["l1", "l2"]),
    ("oracle", ["l1", "l2"]), ("cnn", ALL), ("prior", ALL), ("target_prior", ALL), ("lightness", ALL),
])  # fmt: skip
def test_each_kind_of_model_has_its_metrics_rounded_to_five_digits(run, model, names):
    metrics = run(model).metrics
    assert sorted(metrics) == names
    assert all(value == round(value, 5) for value in metrics.values())


@pytest.fixture(scope="module")
def truth(tiny) -> torch.Tensor:
    """(N, 2, 16, 16) ab of the test images."""
    return cielab.rgb_to_lab(torch.from_numpy(tiny.images["test"]).movedim(-1, 1))[:, 1:]


def test_the_gray_baseline_is_the_size_of_the_colors(run, truth):
    metrics = run("gray").metrics
    assert metrics["l2"] == pytest.approx((truth / 128).square().mean().item(), abs=6e-5)
    assert metrics["l1"] == pytest.approx((truth / 128).abs().mean().item(), abs=6e-5)


def test_every_model_is_measured_by_the_sources_weights(run, tiny, tmp_path):
    """Unweighted models too; another source's weights change the weighted cross entropy alone."""
    before = run("cnn").metrics
    other = Folders(tmp_path / "other")
    other.prior("tiny").mkdir(parents=True)
    for path in tiny.prior.glob("*.npy"):
        array = np.load(path)
        np.save(other.prior("tiny") / path.name, array * 2 if path.name == "rebalancing.npy" else array)
    after = run("cnn", prior=other).metrics
    assert after.pop("weighted_cross_entropy") == pytest.approx(2 * before.pop("weighted_cross_entropy"), abs=2e-4)
    assert after == before


def test_metrics_are_the_means_of_the_per_image_table(run):
    found = run("cnn")
    assert found.table["key"].dtype == np.int64
    assert found.table["key"].tolist() == [0, 1, 2, 3, 4, 5]
    for name, value in found.metrics.items():
        assert found.table[name].mean() == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize(("model", "kind"), [
    ("regression", Kind.COLORS), ("gray", Kind.COLORS), ("cnn", Kind.DISTRIBUTIONS), ("prior", Kind.DISTRIBUTIONS),
])  # fmt: skip
def test_the_per_image_table_has_one_array_per_measure_of_the_models_kind(run, model, kind):
    table = run(model).table
    names = [name for name, one in MEASURES.items() if one.kind <= kind]
    assert list(table) == ["key", "group", *names]
    assert all(table[name].shape == (6,) and table[name].dtype == np.float32 for name in names)


@pytest.mark.parametrize("model", ["regression", "gray", "cnn", "prior"])
def test_details_have_the_value_of_every_measure_as_its_weight_defines_it(run, model):
    found = run(model)
    measures, weights = found.details["measures"], found.details["weights"]
    assert measures.keys() == found.table.keys() - {"key", "group"}
    for name, value in measures.items():
        total = found.table[weights[name]].sum(dtype=float) if name in weights else 6
        assert found.table[name].sum(dtype=float) / total == pytest.approx(value, rel=1e-5, abs=1e-5), name
    assert weights["rebalanced_auc"] == "inverse_prior"
    assert found.metrics.items() <= measures.items()


@pytest.mark.parametrize("model", ["cnn", "lightness"])
def test_distributions_have_the_measures_of_their_decodings(run, model):
    found = run(model)
    assert found.decodings.keys() == found.details["decodings"].keys() == {"annealed_mean", "mean"}
    colors = [name for name, one in MEASURES.items() if one.kind == Kind.COLORS]
    for name, table in found.decodings.items():
        assert list(table) == ["key", "group", *colors]
        values = found.details["decodings"][name]
        assert list(values) == sorted(colors)
        assert values["l2"] == pytest.approx(table["l2"].mean(), abs=1e-5)
        ratio = table["rebalanced_auc"].sum(dtype=float) / table["inverse_prior"].sum(dtype=float)
        assert values["rebalanced_auc"] == pytest.approx(ratio, abs=1e-5)
    tables = [found.table, *found.decodings.values()]
    assert len({table["l2"].tobytes() for table in tables}) == 3
    assert len({table["true_colorfulness"].tobytes() for table in tables}) == 1


def test_each_kind_of_model_has_its_files(run):
    always = {"details.json", "per_image.npz"}
    expected = {
        "gray": always,
        "prior": {*always, "annealed_mean.npz", "mean.npz"},
        "regression": {*always, "predictions.npz"},
        "cnn": {*always, "annealed_mean.npz", "mean.npz", "predictions.npz", "temperature.csv", "reliability.csv"},
    }
    assert {model: {path.name for path in run(model).out.iterdir()} for model in expected} == expected


def test_runs_evaluated_together_have_the_values_of_single_ones(run, tiny, settings, tmp_path, linked):
    folders = linked(tmp_path / "together", tiny.folders, tiny.folders)
    runs = [Run("tiny", model, None) for model in UNTRAINED]
    found = evaluate.evaluate(runs, "tiny", settings.evaluate, Options.of(settings.soft_targets), folders, "cpu")
    assert found == {one: run(one.model).metrics for one in runs}


def test_details_count_all_images(run):
    assert run("cnn").details["images"] == 6


def test_the_weights_are_the_class_weights_and_the_inverse_prior_of_the_true_bins(run, tiny, truth):
    table = run("gray").table
    bins = gamut.nearest_bin(truth).numpy()
    weights = load_array(tiny.prior / "rebalancing.npy")
    frequencies = np.maximum(load_array(tiny.prior / "prior.npy"), 0.01 / 313)
    np.testing.assert_allclose(table["class_weight"], weights[bins].mean(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(table["inverse_prior"], (1 / frequencies[bins]).mean(axis=(1, 2)), rtol=1e-5)


def test_gray_images_give_every_model_finite_measures(run, tmp_path, write_images):
    """Equal pictures have no signal-to-noise ratio, and gray ones no hue."""
    images = np.full((2, 16, 16, 3), 77, dtype=np.uint8)
    images[1] = np.arange(16, dtype=np.uint8)[:, None, None]
    shards = write_images(tmp_path / "gray", {"test": images})
    for model in ("gray", "regression", "cnn", "prior"):
        table = run(model, shards=shards).table
        assert all(np.isfinite(values).all() for name, values in table.items() if name != "group"), model
    table = run("gray", shards=shards).table
    assert np.allclose(table["psnr"], 58.92, atol=0.01) and table["near_gray"].tolist() == [1, 1]


@pytest.mark.parametrize("model", ["regression", "cnn"])
def test_predictions_have_the_arrays_that_the_report_reads(run, model):
    found = run(model).predictions
    n = len(found["key"])
    kinds = {name: (array.dtype, array.shape[1:]) for name, array in found.items() if name != "source"}
    expected = {
        "key": (np.int64, ()), "l2": (np.float32, ()), "is_saved": (bool, ()),
        "is_worst": (bool, ()), "truth": (np.uint8, (16, 16, 3)), "predicted": (np.uint8, (16, 16, 3)),
        "gray": (np.uint8, (16, 16)),
    }  # fmt: skip
    if model == "cnn":
        expected |= {"annealed_mean": (np.uint8, (16, 16, 3)), "entropy": (np.float16, (8, 8))}
    assert kinds == expected
    assert all(len(array) == n for array in found.values())


def test_predictions_show_truth_input_and_prediction_of_their_keys(run, tiny):
    found = run("regression").predictions
    images = tiny.images["test"][found["key"]]
    assert np.array_equal(found["truth"], images)
    lab = cielab.rgb_to_lab(torch.from_numpy(images).movedim(-1, 1))
    lab[:, 1:] = 0
    gray = cielab.lab_to_rgb(lab)[:, 0].numpy()
    assert np.array_equal(found["gray"], gray)
    assert found["source"].tolist() == [f"photo {key}.jpg" for key in found["key"]]


def test_the_colors_of_the_annealed_mean_and_the_entropy_are_those_of_the_logits(run, tiny, models):
    found = run("cnn").predictions
    rgb = torch.from_numpy(tiny.images["test"][found["key"]]).movedim(-1, 1)
    L_norm, _ = cielab.split_lab(cielab.rgb_to_lab(rgb))
    with torch.inference_mode():
        logits = files.load(models / "tiny-cnn-0", "cpu")[0](L_norm)
    ab = torch.nn.functional.interpolate(gamut.annealed_mean(logits), (16, 16), mode="nearest")
    lab, _ = cielab.fit_to_gamut(cielab.join_lab(L_norm, ab / 128))
    expected = cielab.lab_to_rgb(lab).movedim(1, -1).numpy().astype(int)
    assert np.abs(found["annealed_mean"] - expected).max() <= 1  # rounding
    assert (found["annealed_mean"] != found["predicted"]).any()
    log_p = logits.double().log_softmax(dim=1)
    np.testing.assert_allclose(found["entropy"], -(log_p.exp() * log_p).sum(dim=1), rtol=1e-3)


def test_evenly_spaced_worst_and_named_images_are_kept(run):
    found = run("cnn", named={"tiny": [1], "other": [999]})
    predictions, error = found.predictions, found.table["l2"]
    assert predictions["key"][predictions["is_saved"]].tolist() == [0, 2, 5]
    assert set(predictions["key"][predictions["is_worst"]]) == set(np.argsort(-error)[:2])
    assert set(predictions["key"]) == {0, 1, 2, 5, *np.argsort(-error)[:2]}
    np.testing.assert_allclose(predictions["l2"], error[predictions["key"]], atol=1e-5)


def test_the_same_images_are_saved_for_every_model(run):
    keys = [run(model).predictions for model in ("cnn", "regression")]
    assert len({tuple(found["key"][found["is_saved"]]) for found in keys}) == 1


def test_keys_are_those_of_the_split_where_an_image_was_rejected(run, tiny, tmp_path, write_images):
    shards = write_images(tmp_path / "gaps", tiny.images, keys={"test": [0, 1, 3, 4, 8, 9]})
    found = run("regression", shards=shards, named={"tiny": [8]})
    assert found.table["key"].tolist() == [0, 1, 3, 4, 8, 9]
    at = found.predictions["key"].tolist().index(8)
    assert np.array_equal(found.predictions["truth"][at], tiny.images["test"][4])
    assert found.predictions["source"][at] == "photo 8.jpg"


def test_an_unknown_named_key_is_refused(run):
    with pytest.raises(DataError, match=r"evaluate\.named\.tiny: \[77\] are not keys of the test split"):
        run("cnn", named={"tiny": [1, 77]})


def test_two_evaluations_are_the_same_bytes(run):
    def tree(folder):
        return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    first = tree(run("cnn").out)
    assert first == tree(run("cnn").out)


def test_a_model_of_another_image_size_is_named(run, tiny, tmp_path, write_images, images_of):
    shards = write_images(tmp_path / "large", {"test": images_of(2, 32)})
    with pytest.raises(DataError, match=r"trained on images of 16 px, but .* has 32 px"):
        run("cnn", shards=shards)


def test_a_missing_model_is_named(run):
    with pytest.raises(DataError, match=r"unet-0/model\.json: no such file; expected the folder of a model"):
        run("unet")


def test_a_metric_that_is_not_finite_is_named_with_the_remedy(run, monkeypatch):
    def predict(truth):
        return Prediction(torch.full_like(truth.ab_norm, 1e38))

    monkeypatch.setattr(evaluate, "_predictor", lambda *arguments: (predict, Kind.COLORS))
    with pytest.raises(DataError, match=r"l2 is inf: .*run `dvc repro --force --single-item train@tiny-regression-0`"):
        run("regression")


def test_names_of_images_stay_text(run, tiny, tmp_path, write_images):
    names = ["0000", "1e5", "NA", 'a "b"\n,c', " padded ", "null"]
    shards = write_images(tmp_path / "names", tiny.images)
    table = shards.shards("test", "tiny") / "images.csv"
    with table.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [("key", "group", "source"), *((n, "a" * n, name) for n, name in enumerate(names))]
        )
    found = run("regression", shards=shards, num_saved=6).predictions
    assert found["source"].tolist() == names
    assert run("gray", shards=shards).table["group"].tolist() == ["a" * n for n in range(6)]
    table.write_text("key,group,source\n0,a,only one\n")
    for model in ("gray", "regression"):
        with pytest.raises(DataError, match=r"test/tiny/images\.csv: 1 rows, but the shards hold 6 images; run `"):
            run(model, shards=shards)


def test_no_result_of_a_batch_is_kept_so_that_memory_does_not_grow_with_the_images(tiny, monkeypatch, settings):
    monkeypatch.setattr(measuring, "images_at_once", lambda device, size: 2)
    results = []

    def brightness(compared) -> torch.Tensor:
        result = measuring.mean_per_image(compared.truth.rgb)
        results.append(weakref.ref(result))
        return result

    def advance(count: int) -> None:
        assert count == 2 and not any(result() is not None for result in results[:-1])

    predictors = {"gray": (lambda truth: Prediction(torch.zeros_like(truth.ab_norm)), Kind.COLORS)}
    split, options = Split(tiny.folders.shards("test", "tiny")), Options.of(settings.soft_targets)
    measures, weights = {"brightness": Measure(brightness, Kind.COLORS)}, torch.ones(gamut.NUM_BINS)
    measured = measuring.measure_all(predictors, split, measures, weights, options, advance=advance)
    assert len(results) == 3
    expected = tiny.images["test"].reshape(6, -1).mean(axis=1)
    np.testing.assert_allclose(measured["gray"]["brightness"].numpy(), expected)
