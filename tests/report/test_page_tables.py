"""What the short answers, Table 1, the claims, the matrix and the data sheet of the page contain."""

import json
import re
from pathlib import Path

import pytest

from colorize.evaluation.measures import MEASURES
from colorize.report import claims_page, labels, page
from colorize.report.evidence import gather
from colorize.report.labels import MINUS
from tests.report.conftest import MODELS

DOCS = Path(__file__).parents[2] / "docs" / "measures.md"
ARROWS = {"↓": "lower", "↑": "higher"}
SIDECAR = {
    "manifest_sha256": {"train": "a" * 64, "val": "b" * 64},
    "parameters": {"train": {"lr": 0.001, "batch_size": 32}},
    "size": 64,
    "torch": "2.9",
    "weights_sha256": "c" * 64,
}


def built(run, name: str):
    """One section of the page of a run."""
    return getattr(page, name).build(gather(run.inputs))


def html(run, name: str) -> str:
    """The page with this section alone; spaces and line breaks count as one space."""
    return " ".join(page.assemble([built(run, name)], "title").split())


def record(run, dataset: str, model: str, seed: int = 0, **changed) -> None:
    """Record what was evaluated, as the stage `evaluate` does."""
    path = run.folder(dataset, model, dataset, seed) / "details.json"
    evaluated = {"code": "d" * 64, "model": SIDECAR | changed, "test_manifest_sha256": "e" * 64}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"evaluated": evaluated}))


# --- short answers ---------------------------------------------------------------------------------------------------


def test_the_overview_says_what_was_tested_on_how_many_images(make_run):
    text = html(make_run(("objects", "scenes"), ("cnn", "unet"), [0, 7]), "overview")
    assert "trained 2 models (CNN, Unet) on 2 data sets, with seeds 0, 7." in text
    assert "<b><bdi>Scenes</bdi></b>: 1,500 training images, and 12 test images in 8 independent groups" in text
    assert "Few groups of test images (8 for Objects, 8 for Scenes)" in text


def test_the_overview_names_the_winner_and_how_sure_that_is(make_run):
    run = make_run(("a",), ("cnn", "unet"))
    run.write_metrics("a", "unet", "a", l2=0.25)
    (l2, entropy) = built(run, "overview").values["winners"]
    assert (l2["model"], l2["value"], l2["is_winner"]) == ("Unet", "0.2500", True)
    assert l2["next"] == (f"{MINUS}0.2500 [{MINUS}0.2500, {MINUS}0.2500]", "CNN") and l2["is_next_clear"]
    assert not entropy["is_winner"]  # all values are equal, so no model beats the baselines
    assert "no winner. The best model, CNN (3.000), is not better" in html(run, "overview")


@pytest.mark.parametrize(
    ("color", "l2", "said", "cost"),
    [(50.0, 0.75, "more colorful than", "higher"), (10.0, 0.25, "less colorful than", "lower"),
     (30.0, 0.5, "about as colorful as", "not clearly different")],
)  # fmt: skip
def test_the_overview_says_what_class_weights_change(make_run, color, l2, said, cost):
    run = make_run(("a",), ("cnn", "cnn_weighted"))
    run.write_metrics("a", "cnn_weighted", "a", colorfulness=color, l2=l2)
    images = {"colorfulness": color + 2 * run.noise, "l2": l2 + 2 * run.noise}  # differences that vary
    run.write_per_image("a", "cnn_weighted", "a", **images)
    assert f"CNN with Weights is <b>{said}</b> CNN: {color:.1f} instead of 30.0, which is" in html(run, "overview")
    assert f"Its L2 is <b>{cost}</b>" in html(run, "overview")


def test_the_overview_says_how_colorful_the_true_pictures_are(make_run):
    run = make_run(("objects", "scenes"), ("cnn", "cnn_weighted"))
    for name, value in (("objects", 43.25), ("scenes", 12.5)):
        run.write_metrics(name, "cnn", name, true_colorfulness=value)
    said = "The true pictures have 43.2 (<bdi>Objects</bdi>) and 12.5 (<bdi>Scenes</bdi>), so a prediction can also be"
    assert said in html(run, "overview")


def test_the_overview_lists_where_a_model_fails(make_run):
    run = make_run(("objects", "scenes"), ("cnn",))
    run.write_metrics("objects", "cnn", "scenes", l2=0.75)
    (cnn,) = built(run, "overview").values["failures"]
    assert cnn["places"] == [{"source": "Objects", "target": "Scenes", "is_own": False, "measures": "L2"}]


def test_a_run_without_pairs_of_class_weights_says_nothing_about_them(make_run):
    assert "class weights" not in html(make_run(("a",), ("regression",)), "overview")


# --- Table 1 ---------------------------------------------------------------------------------------------------------


def test_each_pair_of_data_sets_has_a_table_with_every_model_and_baseline(make_run):
    run = make_run(("a", "b", "c"), ("cnn", "regression"))
    quadrants = built(run, "table").values["quadrants"]
    assert [(one["source"], one["target"]) for one in quadrants][:4] == [("a", "a"), ("b", "b"), ("c", "c"), ("a", "b")]
    assert len(quadrants) == 9
    assert [row["title"] for row in quadrants[0]["rows"] if not row["is_untrained"]] == ["CNN", "Baseline Regression"]


def test_a_cell_has_value_interval_and_a_mark_that_is_also_read_out(make_run):
    run = make_run(("a",), ("cnn", "unet"))
    run.write_metrics("a", "unet", "a", l2=0.25)
    run.write_metrics("a", "cnn", "a", l2=0.75)
    text = html(run, "table")
    assert '<b class="best">0.2500<span aria-hidden="true"> ✓</span><span class="hidden"> (best)</span></b>' in text
    assert re.search(r'0\.7500<span class="worse" aria-hidden="true">†</span><span class="hidden"> \(worse than', text)
    assert re.search(r'data-sort="0\.25"[^/]*0\.2500.*?<small>\[0\.\d{4}, 0\.\d{4}\]</small>', text)


def test_numbers_of_the_paper_stand_beside_ours_if_it_has_them(make_run):
    run = make_run(("tiny_imagenet",), ("cnn",))
    row = built(run, "table").values["quadrants"][0]["rows"][-2]
    l2 = row["cells"][0]
    ours, paper, difference = (float(text.replace(MINUS, "-")) for text in (l2["text"], l2["paper"], l2["difference"]))
    assert row["title"] == "CNN" and difference == pytest.approx(ours - paper, abs=1e-4)
    assert "“Paper” is the number in the paper" in html(run, "table")
    assert "“Paper”" not in html(make_run(("a",), ("cnn",)), "table")


# --- claims ----------------------------------------------------------------------------------------------------------


def test_the_page_has_the_verdicts_rules_and_findings_of_claims_md(make_run):
    run = make_run(("a", "b"), MODELS)
    run.write_metrics("a", "unet", "a", l2=0.25, accuracy=0.5)
    evidence, section = gather(run.inputs), built(run, "claims")
    markdown = claims_page.to_markdown(evidence.table1, evidence.claims)
    for shown, claim in zip(section.values["claims"], evidence.claims, strict=True):
        assert (shown["title"], shown["verdict"], len(shown["findings"])) == (
            claim.title,
            claim.verdict,
            len(claim.findings),
        )
        assert all(one["difference"] in markdown for one in shown["findings"])
    assert html(run, "claims").count('<details class="claim">') == len(evidence.claims) == 7


def test_a_claim_that_this_run_cannot_test_says_what_it_needs(make_run):
    text = html(make_run(("a",), ("cnn",)), "claims")
    assert "params.yaml does not name" in text


# --- matrix ----------------------------------------------------------------------------------------------------------


def test_the_matrix_has_all_measures_and_the_decodings_of_the_colors(make_run):
    run = make_run(("a", "b"), ("cnn", "regression"))
    run.write_decoding("b", "cnn", "a", "mean", l2=0.125)
    data = built(run, "matrix").data
    assert {"l2", "colorfulness", "accuracy", "cross_entropy"} <= {name for name, *_ in data["measures"]}
    assert list(data["values"]["accuracy"]) == ["mode"]
    column = data["pairs"].index(["b", "a"])
    mean, mode = (data["values"]["l2"][decoding] for decoding in ("mean", "mode"))
    assert (mean[0][column][:2], mode[0][column][:2]) == ([0.125, "0.1250"], [0.5, "0.5000"])
    assert mean[1] == mode[1]  # a regression has no decodings
    assert data["values"]["accuracy"]["mode"][1] == [None] * 4


def test_the_matrix_can_be_read_without_javascript(make_run):
    run = make_run(("a", "b"), ("cnn",))
    run.write_metrics("a", "cnn", "b", l2=0.75)
    text = html(run, "matrix")
    assert "<caption>L2. Lower values are better.</caption>" in text
    assert '<th scope="row">CNN</th><td class="number">0.5000' in text
    assert '<td class="number">0.7500†<small>[' in text


def documented() -> dict[str, tuple[str, str | None]]:
    """Unit and better direction of each measure in docs/measures.md; the direction of a weight is None."""
    found = {}
    for line in DOCS.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `") and len(cells) >= 4 and cells[0].strip("| `") in MEASURES:
            found[cells[0].strip("| `")] = cells[2], ARROWS.get(cells[4]) if len(cells) > 4 else None
    return found


def test_every_measure_has_the_title_unit_and_direction_of_the_documentation():
    docs = documented()
    assert docs.keys() == MEASURES.keys() == labels.METRIC_LABELS.keys()
    for name, (unit, better) in docs.items():
        label = labels.METRIC_LABELS[name]
        assert label.better == better, name
        assert label.unit == (unit if unit in ("nats", "dB", "8-bit levels") else ""), name


@pytest.mark.parametrize(
    ("measure", "hint"),
    [("psnr", "Unit: dB. Higher values are better."), ("l2", "Lower values are better."),
     ("near_gray", "Good values are close to those of True Near Gray."),
     ("target_entropy", "Unit: nats. Neither low nor high values are better."),
     ("of_my_own", "Neither low nor high values are better.")],
)  # fmt: skip
def test_the_hint_says_unit_and_direction(measure, hint):
    assert labels.metric_hint(measure) == hint


# --- data sheet ------------------------------------------------------------------------------------------------------


def test_the_sheet_has_hashes_parameters_and_departures_from_the_paper(make_run):
    run = make_run(("objects",), ("cnn",), [3])
    record(run, "objects", "cnn", 3)
    text = html(run, "sheet")
    for letter in "abcde":
        assert f'<code title="{letter * 64}">{letter * 16}</code>' in text
    assert re.search(r"train\.lr</code></th><td>0\.001</td><td>3e-05</td><td><span class=\"worse\">≠", text)
    assert re.search(r"train\.batch_size</code></th><td>32</td><td></td><td></td>", text)  # the paper states none
    assert "Trained with torch 2.9." in text and "uPlot" in text


def test_parameters_that_differ_between_runs_are_all_shown(make_run):
    run = make_run(("objects",), ("cnn", "unet"))
    record(run, "objects", "cnn")
    record(run, "objects", "unet", size=32)
    (size, *_) = built(run, "sheet").values["parameters"]
    assert (size["name"], size["values"], size["differs"]) == ("size", "64, 32", True)


def test_what_is_not_recorded_is_said_to_be_so(make_run):
    text = html(make_run(("objects",), ("cnn",)), "sheet")
    assert text.count("not recorded") == 3 + 2 + 1  # three splits, weights and code, parameters
