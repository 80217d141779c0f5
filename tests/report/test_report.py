"""The whole report: which files, the same bytes, nothing left over, nothing heavy imported."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from rich.console import Console

from colorize import report
from colorize.layout import UNTRAINED, Cell, Run
from colorize.runtime import DataError
from tests.report.conftest import HISTORY_HEADER

REPO = Path(__file__).parents[2]
NAMES = ("curves", "figure1", "matrix", "table1", "temperature", "tradeoff")
PLOTS = [f"{name}.{kind}" for name in NAMES for kind in ("pdf", "png")]


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_report_writes_every_file_and_the_same_bytes_again(make_run):
    run = make_run(("a", "b"), ("regression", "cnn"))
    report.write_report(run.settings, run.root)
    results = files_below(run.root / "results")
    assert list(results) == [
        "calibration.csv",
        "claims.md",
        "curves.csv",
        "differences.csv",
        *(f"figures/{name}" for name in sorted([*PLOTS, *(f"figure{i}.jpg" for i in range(2, 7))])),
        "generalization.csv",
        "measures.csv",
        *(
            f"metrics/{source}-{model}/{target}.json"
            for source in "ab"
            for model in sorted((*UNTRAINED, "cnn", "regression"))
            for target in "ab"
        ),
        "overfitting.csv",
        "table1.csv",
        "table1.md",
        "table1.tex",
        "table1_intervals.tex",
        "table2.md",
    ]
    page = files_below(run.root / "data" / "gallery")
    report.write_report(run.settings, run.root)
    assert files_below(run.root / "results") == results
    assert files_below(run.root / "data" / "gallery") == page


def test_one_data_set_has_no_cross_domain_figure_and_old_files_go(make_run):
    run = make_run(("a",), ("cnn",))
    stale = run.root / "results" / "figures" / "figure6.jpg"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"from a run with two data sets")
    report.write_report(run.settings, run.root)
    names = sorted(path.name for path in stale.parent.iterdir())
    assert names == sorted([*PLOTS, "figure3.jpg", "figure4.jpg", "figure5.jpg"])


def test_a_run_without_classifiers_has_no_plot_of_temperatures(make_run):
    run = make_run(("a",), ("regression",))
    report.write_report(run.settings, run.root)
    names = {path.stem for path in (run.root / "results" / "figures").glob("*.pdf")}
    assert names == {*NAMES} - {"temperature"}


@pytest.mark.usefixtures("without_plots_here")
def test_a_third_data_set_has_a_figure_of_its_own(make_run):
    run = make_run(("a", "b", "my_photos"), ("cnn",))
    report.write_report(run.settings, run.root)
    assert (run.root / "results" / "figures" / "figure_my_photos.jpg").is_file()


@pytest.mark.usefixtures("without_plots_here")
def test_figure_5_needs_names(make_run):
    run = make_run(("a",), ("cnn",))
    settings = run.settings
    settings.evaluate.named = {}
    report.write_report(settings, run.root)
    assert not (run.root / "results" / "figures" / "figure5.jpg").exists()


def test_terminal_shows_the_table(make_run):
    run = make_run(("a",), ("cnn",))
    console = Console(file=io.StringIO(), width=60)
    report.show_table(report.read_table(run.settings, run.root), console)
    assert "Constant Prior" in console.file.getvalue()


def test_unknown_command_is_one_line_and_builds_nothing(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    command = [sys.executable, "-m", "stages.report", "shwo"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: unknown command 'shwo'; expected: build, show\n"


def test_stage_runs_from_a_parameter_file_and_imports_nothing_heavy(make_run):
    run = make_run()
    values = yaml.safe_load((REPO / "params.yaml").read_text())
    values |= {"datasets": run.datasets, "models": run.models}
    values["evaluate"]["named"] = {"scenes": [30]}
    values["report"] = {
        "columns": 2,
        "figure4_models": ["cnn"],
        "figure5": {"source": "objects", "target": "scenes", "model": "unet"},
        "figure6_model": "unet",
    }
    (run.root / "params.yaml").write_text(yaml.safe_dump(values))
    shutil.copy(REPO / "dvc.yaml", run.root)
    heavy = "torch torchvision skimage sklearn scipy pandas dvc"
    code = f"import sys; from stages import report; report.main(); print({{*'{heavy}'.split()}} & {{*sys.modules}})"
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=run.root, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "Table 1: results/table1.md   who won, and how sure that is: results/claims.md",
        "figures: results/figures/   all saved predictions: data/gallery/index.html",
        "all of this on one page, to open in a browser: data/report.html",
        "set()",
    ]
    assert (run.root / "results" / "figures" / "figure5.jpg").is_file()


def refusal(run) -> str:
    with pytest.raises(DataError) as error:
        report.write_report(run.settings, run.root)
    assert "\n" not in str(error.value)
    assert "verify --repair" in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [("input", [1]), ("input", None), ("parameters", "many"), ("width", None), ("blocks", []), ("blocks", [{}]),
     ("skips", []), ("skips", {"block3": "nowhere"})],
)  # fmt: skip
def test_layers_of_another_shape_are_one_line(make_run, key, value):
    run = make_run(["a"], ["cnn"])
    path = run.folders.history(Run("a", "cnn", 0)) / "layers.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    assert f"{path}: not a list of the layers of a network" in refusal(run)


ONES = [",1" * n for n in range(13)]
ROWS = {
    "no number": "x" + ONES[12],
    "short": "1" + ONES[11],
    "not finite": "1,nan" + ONES[11],
    "no text": "1,1,\xff" + ONES[10],
    "long": "1" + ONES[11] + "," + "1" * 200_000,
    "no loss": "1,1," + ONES[10],
    "no cross entropy": "1,1,1,1,1,1,," + ONES[5],
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_history_with_other_things_than_numbers_is_one_line(make_run, row):
    run = make_run(["a"], ["cnn"])
    path = run.folders.history(Run("a", "cnn", 0)) / "history.csv"
    path.write_text(path.read_text() + row + "\n", encoding="latin-1")
    assert f"{path}: " in refusal(run)


def test_a_history_without_rows_is_one_line(make_run):
    run = make_run(["a"], ["cnn"])
    run.write_history("a", "cnn", text=f"{HISTORY_HEADER}\n")
    assert "history.csv: it has no rows; run" in refusal(run)


@pytest.mark.parametrize(
    ("name", "array"),
    [("truth", np.zeros((12, 8, 8))), ("gray", np.zeros((12, 8, 7), np.uint8)), ("key", np.zeros(11, np.int64)),
     ("key", np.array(["0"] * 12)), ("source", np.arange(12)), ("l2", np.full(12, np.nan, np.float32)),
     ("annealed_mean", np.zeros((12, 8, 7, 3), np.uint8)), ("entropy", np.zeros((11, 4, 4), np.float16)),
     ("entropy", np.zeros((12, 4), np.float16)), ("entropy", np.full((12, 4, 4), np.inf, np.float16))],
)  # fmt: skip
def test_predictions_of_another_shape_are_one_line(make_run, name, array):
    run = make_run(["a"], ["cnn"])
    run.write_predictions("a", "cnn", "a", **{name: array})
    assert f"predictions.npz cannot be read (`{name}` is" in refusal(run)


def test_predictions_of_a_classifier_need_the_arrays_of_its_distribution(make_run):
    run = make_run(["a"], ["cnn", "regression"])
    whole = run.inputs.predictions(Cell("a", "cnn", "a"))
    assert whole.annealed_mean.shape == (12, 8, 8, 3) and whole.entropy.shape == (12, 4, 4)
    colors = run.inputs.predictions(Cell("a", "regression", "a"))
    assert colors.annealed_mean is colors.entropy is None
    run.write_predictions("a", "cnn", "a", entropy=None)
    with pytest.raises(DataError, match=r"predictions\.npz cannot be read \(.*entropy.*verify --repair"):
        run.inputs.predictions(Cell("a", "cnn", "a"))


def test_a_damaged_archive_of_predictions_is_one_line(make_run):
    run = make_run(["a"], ["cnn"])
    path = run.folders.evaluation(Run("a", "cnn", 0), "a") / "predictions.npz"
    whole = path.read_bytes()
    for place in range(0, len(whole), len(whole) // 150):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        path.write_bytes(damaged)
        with contextlib.suppress(DataError):  # a bit that nothing reads may be any
            run.inputs.predictions(Cell("a", "cnn", "a"))
