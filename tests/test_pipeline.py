"""The real DAG, run by the real `dvc` in a scratch clone, with the ci profile."""

import contextlib
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from colorize.color.targets import Options
from colorize.config import params
from colorize.evaluation import evaluate
from colorize.evaluation.measuring import Prediction
from colorize.layout import Folders, Run
from tests.helpers import extending, object_stores, processes
from tests.helpers.clones import changed, clone, commit, edit, run, stages_run
from tests.helpers.pipelines import dvc, record
from tools.review import __main__ as review
from tools.review import tables
from tools.review.recompute import Results, recompute

ROOT = Path(__file__).resolve().parents[1]
DATASETS = ("objects", "scenes")
MODELS = ("regression", "cnn", "cnn_weighted", "unet", "unet_weighted")
BY_DVC = "unet"  # the model of `objects` that `dvc repro` trains


@pytest.fixture(scope="module")
def repo(tmp_path_factory, without_plots) -> Path:
    """A clone in which the ci profile was run on few images and committed.

    Everything of `scenes` and most models of `objects` are made outside of DVC, which then records them. `dvc repro`
    makes the rest, at least one stage of each kind, and must find the others up to date. All stages are children of
    this process, which saves minutes, and draw no plots. tests/tools/test_run_cells.py runs `make repro`, with the real
    command of each stage, which draws them.
    """
    repo = clone(tmp_path_factory.mktemp("clone"))
    log = tmp_path_factory.mktemp("log") / "log"
    edit(repo / "profiles/ci.yaml", "  size: 64", "  size: 32")
    shutil.copy(repo / "profiles/ci.yaml", repo / "params.yaml")
    for dataset in DATASETS:
        edit(repo / f"sources/{dataset}.yaml", "{train: 2000, val: 200, test: 200}", "{train: 200, val: 40, test: 24}")
    (repo / "dvc.lock").unlink(missing_ok=True)
    with (repo / ".gitignore").open("a") as file:
        file.write("/raw/\n")
    commit(repo)
    processes.load_everything()
    for script in ("shard", "prior"):
        processes.run(repo, (script, "objects"), log)  # not recorded, so `dvc repro` makes them again
    forked = [("scenes", model) for model in MODELS] + [("objects", model) for model in MODELS if model != BY_DVC]
    stages = [("shard", "scenes"), ("prior", "scenes")]
    stages += [(script, *run, "0") for script in ("train", "evaluate") for run in forked]
    record(repo, [*stages, ("evaluate", "scenes", "baselines")], log)
    output = dvc(repo, "repro")
    cell = f"objects-{BY_DVC}-0"
    rest = ("shard@objects", "prior@objects", f"train@{cell}", f"evaluate@{cell}", "baseline@objects", "report")
    assert set(stages_run(output)) == set(rest)
    assert "\nTable 1: results/table1.md" in output
    commit(repo)
    return repo


def test_repro_makes_every_cell_of_table_1(repo):
    for source in DATASETS:
        for target in DATASETS:
            for model in (*MODELS, "gray", "prior"):
                metrics = json.loads((repo / f"results/metrics/{source}-{model}/{target}.json").read_text())
                assert 0 < metrics["l2"] < 1
                assert len(metrics) <= 5
                assert ("cross_entropy" in metrics) == (model not in ("regression", "gray"))


def test_repro_leaves_everything_that_the_readme_names(repo):
    for name in ("table1.csv", "table1.md", "table1.tex", "curves.csv", "figures/figure1.png", "figures/figure2.jpg"):
        assert (repo / "results" / name).stat().st_size > 0
    for name in (f"{dataset}-{model}-0" for dataset in DATASETS for model in MODELS):
        assert (repo / "data/models" / name / "model.json").is_file()
        assert sorted((repo / "data/histories" / name / "pictures").glob("step-*.png"))
    assert (repo / "data/gallery/index.html").is_file()


@pytest.fixture(scope="module")
def recomputed(repo) -> Results:
    """All numbers of the run, computed by the independent review."""
    return recompute(repo)


def test_the_review_finds_every_printed_digit(repo, recomputed, monkeypatch, capsys):
    monkeypatch.setattr(review, "recompute", lambda root: recomputed)
    assert review.main(repo) == 0
    total = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("all cells: "))
    agree, one_off, more_off, twice, deviations = map(int, re.findall(r" (\d+) ", total))
    assert deviations == 0 and agree > 10_000
    assert one_off + more_off + twice < agree / 5


def test_the_review_finds_a_changed_digit_in_every_file(repo, recomputed, monkeypatch, capsys):
    monkeypatch.setattr(review, "recompute", lambda root: recomputed)
    files = ("measures", "table1", "differences", "generalization", "overfitting", "curves", "calibration")
    names = [f"{name}.csv" for name in files]
    names += ["table1.md", "table1.tex", "table2.md", "metrics/scenes-cnn/objects.json"]
    with contextlib.ExitStack() as changes:
        for path in (repo / "results" / name for name in names):
            number = re.search(r"\b0\.\d{3,}[1-8]\b", path.read_text())[0]
            changes.enter_context(changed(path, number, number[:-1] + str(int(number[-1]) + 1)))
        assert review.main(repo) == 1
    output = capsys.readouterr().out
    assert [name for name in names if f"deviation: results/{name}: " not in output] == []


def evaluate_again(repo: Path, folder: Path, evaluated: Run) -> Path:
    """Evaluate one model of a repository again, with the code and the priors as they are now in this process.

    Returns:
        a folder with the new evaluation beside links to all other evaluations of the repository.
    """
    for name in ("data/models", "data/shards"):
        (folder / name).symlink_to(repo / name)
    (folder / "data/evaluations").mkdir()
    for path in (repo / "data/evaluations").iterdir():
        if path.name != evaluated.name:
            (folder / "data/evaluations" / path.name).symlink_to(path)
    settings = params.load(repo / "params.yaml")
    options = Options.of(settings.soft_targets)
    for target in DATASETS:
        evaluate.evaluate([evaluated], target, settings.evaluate, options, Folders(folder), "cpu")
    return folder


@pytest.fixture
def priors(repo, tmp_path) -> Path:
    """Priors that a test can change, where `evaluate_again` reads them."""
    return Path(shutil.copytree(repo / "data/priors", tmp_path / "data/priors"))


def deviating_measures(root: Path, recomputed: Results, folder: str) -> set[str]:
    """The measures in the details of an evaluation that the review does not find; those of all others it must find."""
    checked = tables.Review(root, recomputed)
    checked.check_details()
    lines = checked.findings.deviations
    found = [re.match(rf"data/evaluations/{folder}/\w+/details.json: \w+: (\w+): ", line) for line in lines]
    assert all(found), lines
    return {match[1] for match in found}


def test_the_review_finds_that_a_and_b_were_swapped(repo, recomputed, monkeypatch, tmp_path, priors):
    monkeypatch.setattr(evaluate, "Prediction", lambda output: Prediction(output.flip(1)))
    again = evaluate_again(repo, tmp_path, Run("scenes", "regression", 0))
    found = deviating_measures(again, recomputed, "scenes-regression-0")
    assert {"l2", "l1", "ciede2000", "auc"} <= found
    assert not {"true_colorfulness", "inverse_prior"} & found


def test_the_review_finds_a_wrong_class_weight(repo, recomputed, tmp_path, priors):
    weights = np.load(priors / "scenes/rebalancing.npy")
    weights[weights.argmin()] *= 1.001  # of the most frequent bin
    np.save(priors / "scenes/rebalancing.npy", weights)
    again = evaluate_again(repo, tmp_path, Run("scenes", "cnn", 0))
    found = deviating_measures(again, recomputed, "scenes-cnn-0")
    assert {"weighted_cross_entropy", "class_weight"} <= found
    assert found <= {"weighted_cross_entropy", "class_weight", "normalized_weighted_cross_entropy"}


def test_a_second_repro_says_that_nothing_changed(repo):
    output = dvc(repo, "repro")
    assert stages_run(output) == []
    assert "up to date" in output


def test_the_committed_results_can_be_checked_without_data(repo, tmp_path):
    run(tmp_path, "git", "clone", "--quiet", str(repo), "fresh")
    shutil.copy(repo / "params.yaml", tmp_path / "fresh/profiles/sample.yaml")
    refused = run(tmp_path / "fresh", "bash", "tools/check_lock.sh", expect=1)
    assert "the table in README.md differs from" in refused  # that of the default run
    run(tmp_path / "fresh", sys.executable, "tools/update_readme.py")
    assert "dvc.lock is up to date" in run(tmp_path / "fresh", "bash", "tools/check_lock.sh")
    with (tmp_path / "fresh/colorize/color/gamut.py").open("a") as file:
        file.write("# a remark\n")
    assert "prior@objects" in run(tmp_path / "fresh", "bash", "tools/check_lock.sh", expect=1)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("sources/titles.yaml", "scenes: Scenes", "scenes: Views"),
        ("colorize/report/style.py", '"#0072b2"', '"#000000"'),  # a color
        ("colorize/report/labels.py", "decimals=3", "decimals=2"),
    ],
)
def test_what_is_only_shown_runs_the_report_alone(repo, file, old, new):
    with changed(repo / file, old, new):
        assert stages_run(dvc(repo, "repro", "--dry")) == ["report"]


@pytest.mark.parametrize(
    ("section", "stages"),
    [
        ("A model", {"prior"}),  # which writes a file of class weights per model
        ("A measure", {"evaluate", "baseline"}),  # whose results then make the report run
        ("A data set", {"evaluate"}),  # and `baseline`, which cannot be planned: it needs all priors
        ("A parameter", {"train"}),
    ],
)
def test_what_extending_says_runs_again_and_nothing_else(repo, section, stages):
    diffs = extending.diffs_of(section)
    extending.apply(repo, diffs)
    try:
        # What belongs to the new model or data set cannot be planned before its inputs exist: an error of DVC
        failure = 255 if section in ("A model", "A data set") else 0
        said = dvc(repo, "repro", "--dry", "--keep-going", expect=failure)
        old = [name for name in stages_run(said) if not re.search("shallow|holidays", name)]
        assert {name.partition("@")[0] for name in old} == stages
    finally:
        extending.apply(repo, diffs, "--reverse")


def test_a_clone_that_pulled_test_images_and_a_model_evaluates_as_the_whole_one_does(repo, tmp_path):
    """Its lock file is the same: no stage depends on a folder of which a clone may lack a part."""
    store = ("remote", "add", "--local", "--default", "store", str(tmp_path / "store"))
    run(tmp_path, "git", "clone", "--quiet", str(repo), "part")
    needed = (
        *(f"data/shards/test/{name}" for name in DATASETS),
        "data/models/objects-regression-0",
        "data/priors/objects",
    )
    for folder in (repo, tmp_path / "part"):
        dvc(folder, *store)
    dvc(repo, "push", *needed)
    dvc(tmp_path / "part", "pull", *needed)
    locks = []
    for folder in (repo, tmp_path / "part"):
        with changed(folder / "params.yaml", "num_saved: ", "num_saved: 1"):
            ran = dvc(folder, "repro", "--single-item", "--allow-missing", "evaluate@objects-regression-0")
            assert stages_run(ran) == ["evaluate@objects-regression-0"]
            locks.append((folder / "dvc.lock").read_bytes())
    assert locks[0] == locks[1]
    run(repo, "git", "checkout", "--quiet", ".")
    dvc(repo, "checkout")


@pytest.mark.parametrize(
    ("kind", "stages"), [("folder", []), ("bucket", ["shard@objects", "prior@objects", "train@objects-unet-0"])]
)
def test_a_clone_that_pulls_results_has_nothing_to_do(repo, tmp_path, request, kind, stages):
    """All results from a folder; a few from a bucket, because the S3 server is slow."""
    settings = {"url": str(tmp_path / "store")}
    if kind == "bucket":
        pytest.importorskip("dvc_s3", reason=f"dvc-s3 is not installed; {object_stores.REMEDY}")
        s3 = request.getfixturevalue("s3")
        settings = {"url": s3.url("store"), "endpointurl": s3.endpoint}
    run(tmp_path, "git", "clone", "--quiet", str(repo), "whole")
    for folder in (repo, tmp_path / "whole"):
        config = "".join(f"    {name} = {value}\n" for name, value in settings.items())
        (folder / ".dvc/config.local").write_text(f"['remote \"store\"']\n{config}")
    dvc(repo, "push", "--remote", "store", *stages)
    dvc(tmp_path / "whole", "pull", "--remote", "store", *stages)
    assert "up to date" in dvc(tmp_path / "whole", "status", *stages)
    assert stages_run(dvc(tmp_path / "whole", "repro", "--dry", *stages)) == []


def test_another_lambda_trains_the_classifiers_again_and_not_the_regression(repo):
    """Without class weights too: the history of a classifier has a weighted cross entropy."""
    with changed(repo / "params.yaml", "lambda: 0.5", "lambda: 0.25"):
        dvc(repo, "repro", "prior@objects")
        ran = stages_run(dvc(repo, "repro", "--dry", *(f"train@objects-{model}-0" for model in MODELS)))
    trained = {name for name in ran if name.startswith("train@")}
    assert trained == {f"train@objects-{model}-0" for model in MODELS if model != "regression"}


def test_another_size_makes_other_shards(repo):
    with changed(repo / "params.yaml", "  size: 32", "  size: 16"):
        dvc(repo, "repro", "shard@objects")
        assert json.loads((repo / "data/shards/train/objects/manifest.json").read_text())["size"] == 16
    assert "is cached - skipping run" in dvc(repo, "repro", "shard@objects")


def test_an_experiment_shows_what_it_changed_and_the_old_value_comes_back_from_the_cache(repo):
    run_name = "objects-regression-0"  # the fastest one
    stage, details = f"evaluate@{run_name}", repo / f"data/evaluations/{run_name}/objects/details.json"
    before = details.read_text()
    dvc(repo, "exp", "run", "--set-param", "train.lr=1e-4", stage)
    assert details.read_text() != before
    assert "train.lr" in dvc(repo, "params", "diff")
    compared = processes.call("tools.compare", "HEAD", "workspace", folder=repo)
    clear = r"compared with HEAD \(\w+\): [1-9]\d* clear changes, .*\n  objects-regression on (objects|scenes): "
    assert re.search(clear, compared.stdout), compared.stdout + compared.stderr
    page = (repo / "data/compare.html").read_text()
    assert "<code>train.lr</code>" in page and "Clear changes" in page

    run(repo, "git", "checkout", "--quiet", "params.yaml")
    output = dvc(repo, "repro", stage)
    assert "is cached - skipping run" in output
    assert stages_run(output) == []
    assert details.read_text() == before
    run(repo, "git", "checkout", "--quiet", ".")


@pytest.mark.parametrize(
    ("change", "exit_code", "line"),
    [
        (("lr: 2.0e-3", "lr: -1"), 2, "train.lr"),
        (("- scenes", "- nowhere"), 2, "nowhere"),
        (("per_shard: 1000", "per_shard: 0"), 2, "shard.per_shard"),
    ],
)
def test_a_wrong_parameter_is_one_line(repo, change, exit_code, line):
    dataset = "nowhere" if "nowhere" in change[1] else "objects"
    with changed(repo / "params.yaml", *change):
        output = run(repo, sys.executable, "-m", "stages.shard", dataset, expect=exit_code)
    assert output.startswith("error: ") and output.count("\n") == 1
    assert line in output


def test_profiles_switch_and_the_run_cache_brings_the_results_back(repo):
    shutil.copy(repo / "profiles/ci.yaml", repo / "profiles/sample.yaml")
    cells = ("objects-unet-0", "scenes-cnn_weighted-0")
    details = [repo / f"data/evaluations/{cell}/objects/details.json" for cell in cells]
    before = [path.read_bytes() for path in details]
    run(repo, sys.executable, "tools/use_profile.py", "paper")
    listed = dvc(repo, "stage", "list", "--name-only").split()
    assert {"shard@tiny_imagenet", "train@places365-unet_weighted-0", "evaluate@places365-cnn-0"} <= set(listed)
    assert not any((repo / f"data/models/{cell}").exists() for cell in cells)
    assert not any(path.exists() for path in details)
    run(repo, sys.executable, "tools/use_profile.py", "sample")
    assert stages_run(dvc(repo, "repro", "baseline@objects", *(f"evaluate@{cell}" for cell in cells))) == []
    assert [path.read_bytes() for path in details] == before
