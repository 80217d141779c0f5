"""Table 2: the colors of each model with each decoding."""

import re

import pytest

from colorize.report import decodings

COLORS = {"psnr": 20.0, "ciede2000": 12.0, "colorfulness": 30.0, "true_colorfulness": 40.0}
DAGGER = "\N{DAGGER}"


@pytest.fixture
def run(make_run):
    """One data set, a regression and a CNN, all measured with the same colors."""
    run = make_run(("a",), ("regression", "cnn"))
    for model in ("gray", "lightness", "regression", "cnn"):
        run.write_metrics("a", model, "a", **COLORS)
        if run.has_distribution(model):
            for decoding in ("annealed_mean", "mean"):
                run.write_decoding("a", model, "a", decoding, **COLORS)
    return run


def markdown(run) -> str:
    return decodings.to_markdown(run.inputs, decodings.read_decoded(run.inputs))


def rows_of(run) -> list[list[str]]:
    lines = [line for line in markdown(run).splitlines() if line.startswith("|")]
    return [[text.strip() for text in re.split(r"(?<!\\)\|", line.strip("|"))] for line in lines]


def test_every_model_has_a_line_per_decoding(run):
    run.write_decoding("a", "cnn", "a", "mean", **COLORS | {"l2": 0.625, "l1": 0.375, "colorfulness": 20.0})
    numbers = ["0.5000", "0.2500", "20.00", "12.00", "30.0", "40.0"]
    assert rows_of(run) == [
        ["Method", "Decoding", "L2", "L1", "PSNR", "CIEDE2000", "Colorfulness", "True Colorfulness"],
        [":---", ":---", *["---:"] * 6],
        ["Baseline Regression", "-", *numbers],
        ["CNN", "mode", *numbers],
        ["CNN", "annealed mean", *numbers],
        ["CNN", "mean", f"0.6250{DAGGER}", f"0.3750{DAGGER}", *numbers[2:4], "20.0", "40.0"],
        ["Gray", "-", *numbers],
        [r"p(ab \| L)", "mode", *numbers],
        [r"p(ab \| L)", "annealed mean", *numbers],
        [r"p(ab \| L)", "mean", *numbers],
    ]


def test_the_best_decodings_of_all_models_are_bold(run):
    run.write_metrics("a", "regression", "a", **COLORS | {"l2": 0.3, "psnr": 22.0})
    run.write_decoding("a", "cnn", "a", "mean", **COLORS | {"l2": 0.2, "ciede2000": 11.0})
    rows = {tuple(row[:2]): row[2:6] for row in rows_of(run)[2:]}
    assert rows["CNN", "mean"] == ["**0.2000**", "0.2500", "20.00", "**11.00**"]
    assert rows["Baseline Regression", "-"] == ["0.3000", "0.2500", "**22.00**", "12.00"]
    assert rows["CNN", "mode"] == ["0.5000", "0.2500", "20.00", "12.00"]


def test_baselines_without_a_line_cause_marks_too(run):
    run.write_metrics("a", "median_ab", "a", l1=0.1)
    run.write_decoding("a", "cnn", "a", "mean", **COLORS | {"l1": 0.2})
    rows = {tuple(row[:2]): row[3] for row in rows_of(run)[2:]}
    assert rows["CNN", "mean"] == f"0.2000{DAGGER}" and rows["Gray", "-"] == "0.2500"


def test_pairs_of_the_same_data_set_come_first(make_run):
    text = markdown(make_run(("my_photos", "b"), ("cnn",)))
    assert re.findall(r"\*\*Trained on (\S+), evaluated on (\S+)\*\*", text) == [
        (r"my\_photos", r"my\_photos"), ("b", "b"), (r"my\_photos", "b"), ("b", r"my\_photos"),
    ]  # fmt: skip
    assert "| L2 " in text and "| CNN " in text and r"(8 for my\_photos, 8 for b)" in text


def test_several_seeds_have_a_mean_and_a_deviation(make_run):
    run = make_run(("a",), ("cnn",), seeds=(0, 1))
    for seed, l2 in ((0, 0.1), (1, 0.3)):
        run.write_decoding("a", "cnn", "a", "mean", seed, l2=l2)
    rows = {tuple(row[:2]): row[2] for row in rows_of(run)[2:]}
    assert rows["CNN", "mean"] == "**0.2000 ± 0.1414**" and rows["Gray", "-"] == "0.5000"
