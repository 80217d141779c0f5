"""The model card: its numbers are those of the run, what is unknown is said, and text of others stays text."""

import json
import shutil
import sys

import pytest
import yaml

from colorize import runtime
from colorize.export import card, facts
from colorize.report import labels

SIDECAR = {
    "dataset": "tiny", "model": "unet", "seed": 0, "size": 64, "width": 0.25, "num_bins": 313,
    "weights_sha256": "a" * 64,
    "torch": "2.9", "device": "cpu", "parameters": {"train": {"steps": 350, "batch_size": 8, "lr": 0.0015}},
}  # fmt: skip
COLUMNS = "source,target,model,decoding,measure,value,low,high,groups,seeds,sd"
ROWS = """
tiny,tiny,unet,mode,l2,0.02617,0.01767,0.03877,40,1,
tiny,tiny,unet,annealed_mean,l2,0.02446,0.01541,0.03882,40,1,
tiny,tiny,unet,mode,cross_entropy,3.42741,,,40,1,
tiny,tiny,gray,,l2,0.03368,0.02460,0.04611,40,1,
tiny,tiny,lightness,mean,l2,0.02321,0.02,0.03,40,1,
tiny,tiny,oracle,,l2,0.0005,0.0004,0.0006,40,1,
tiny,tiny,cnn,mode,l2,0.00001,0.00001,0.00001,40,1,
tiny,other,unet,mode,l2,0.05,0.04,0.06,34,1,
other,tiny,unet,mode,l2,0.09,0.08,0.10,34,1,
"""
CLAIMS = """
|      | Claim | This run |
| ---: | :--- | :--- |
| 1    | The regression has the best L2. | **cannot be told** (5 x holds) |
"""


@pytest.fixture
def project(tmp_path):
    """A repository with a model, its evaluations and its report."""
    (tmp_path / "dvc.yaml").touch()
    runtime.write_json(tmp_path / "data/models/tiny-unet-0/model.json", SIDECAR)
    for target, l2 in (("tiny", 0.02617), ("other", 0.05)):
        details = {"evaluated": {"model": SIDECAR}, "images": 200, "measures": {"l2": l2, "cross_entropy": 3.42741}}
        runtime.write_json(tmp_path / f"data/evaluations/tiny-unet-0/{target}/details.json", details)
    runtime.write_text(tmp_path / "results/measures.csv", COLUMNS + ROWS)
    runtime.write_text(tmp_path / "results/claims.md", CLAIMS)
    source = {"path": "x.zip", "splits": {"train": {"glob": "a/*"}}, "credit": "somebody", "license": "CC BY <4.0>"}
    runtime.write_text(tmp_path / "sources/tiny.yaml", yaml.safe_dump(source))
    runtime.write_text(tmp_path / "sources/titles.yaml", "tiny: Tiny | images\n")
    runtime.write_json(tmp_path / "data/shards/train/tiny/manifest.json", {"images": 2000})
    return tmp_path


@pytest.fixture
def folder(project):
    return project / "data/models/tiny-unet-0"


def render(folder, sidecar=SIDECAR) -> str:
    return card.render(facts.gather(folder, sidecar))


def header(text: str) -> dict:
    return yaml.safe_load(text.split("---\n")[1])


def row(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


def test_the_measures_are_those_of_the_run(folder):
    text = render(folder)
    expected = "| 0.0262 [0.0177, 0.0388] | 0.0245 [0.0154, 0.0388] | 0.0232, p(ab \\| L) |"
    assert row(text, "| L2 (lower is better)") == f"| L2 (lower is better) {expected}"
    assert row(text, "| Cross Entropy") == "| Cross Entropy (lower is better) | 3.427 |  |  |"
    assert "Test images of tiny: 200 images in 40 groups." in text
    assert "0.0500 [0.0400, 0.0600]" in text  # on the other data set
    assert "0.0900" not in text  # of a model that was trained on the other data set
    assert "| The regression has the best L2. | cannot be told (5 x holds) |" in text


def test_the_header_is_what_hubs_read(folder):
    found = header(render(folder))
    assert (found["pipeline_tag"], found["library_name"]) == ("image-to-image", "let-there-be-color")
    assert found["license"] == "other"
    assert {"image-colorization", "onnx", "demonstration"} <= set(found["tags"])
    assert found["metrics"] == ["l2", "cross_entropy"]
    (model,) = found["model-index"]
    (result,) = model["results"]
    assert result["dataset"] == {"name": "Tiny | images", "type": "tiny", "split": "test"}
    assert {"type": "l2", "name": "L2 (annealed mean)", "value": 0.02446} in result["metrics"]


def test_the_data_and_the_training_are_named(folder):
    text = render(folder)
    assert "- Images: 2,000 train" in text
    assert "- License of the images: CC BY \\<4.0\\>" in text
    assert "trained on Tiny \\| images" in text
    assert "| train.lr | 0.0015 |" in text
    assert "`" + "a" * 64 + "`" in text


@pytest.mark.parametrize("change", ["weights", "report", "missing"])
def test_measures_of_another_training_are_not_shown(folder, project, change):
    sidecar = {**SIDECAR, "weights_sha256": "b" * 64} if change == "weights" else SIDECAR
    if change == "report":  # older than the evaluation
        path = project / "results/measures.csv"
        path.write_text(path.read_text().replace("0.02617", "0.02600"))
    if change == "missing":
        shutil.rmtree(project / "data/evaluations")
    text = render(folder, sidecar)
    assert "The measures of this model are unknown" in text
    assert "0.0262" not in text and "model-index" not in text and "5 x holds" not in text


def test_a_changed_data_set_has_no_counts(folder):
    sidecar = {**SIDECAR, "manifest_sha256": {"train": "0" * 64}}
    assert "- Images: the numbers are unknown" in render(folder, sidecar)


def test_outside_the_repository_the_card_invents_nothing(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "elsewhere" / "tiny-unet-0")
    text = render(copy)
    assert text.count("unknown: the run that trained this model was not at hand") == 3
    assert "trained on tiny" in text and "Tiny |" not in text
    assert header(text)["license"] == "other"


def test_it_works_without_the_packages_of_the_pipeline(folder, monkeypatch):
    for name in ("colorize.report.labels", "colorize.sharding.sources", "colorize.report", "colorize.sharding"):
        monkeypatch.setitem(sys.modules, name, None)
    text = render(folder)
    assert "# unet for image colorization, trained on tiny" in text
    assert "0.0262 [0.0177, 0.0388]" in text


@pytest.mark.parametrize(("steps", "expected"), [(350, True), (1_000_000, False), ("x", None)])
def test_few_training_images_make_a_demonstration(folder, steps, expected):
    sidecar = {**SIDECAR, "parameters": {"train": {"steps": steps, "batch_size": 8}}}
    assert facts.is_demonstration(folder, sidecar) is expected
    assert ("**This is a demonstration model.**" in render(folder, sidecar)) is (expected is True)


def test_a_model_of_the_sample_is_a_demonstration_with_the_credits_of_its_photographs(project, repo, folder):
    shutil.copy(repo / "sources/objects.yaml", project / "sources/tiny.yaml")
    sidecar = {**SIDECAR, "parameters": {"train": {"steps": 1_000_000, "batch_size": 8}}}
    text = render(folder, sidecar)
    assert facts.is_demonstration(folder, sidecar) is True
    assert header(text)["license"] == "mit"
    assert "- Credit: Photograph by vultilion, flickr.com/photos/vultilion/6056698931, CC BY 2.0" in text
    assert "Test and training images come from the same photographs" in text


def test_the_license_is_mit_only_if_all_images_are_free(project, repo, folder):
    shutil.copy(repo / "sources/scenes.yaml", project / "sources/tiny.yaml")  # one photograph has no stated license
    assert header(render(folder))["license"] == "other"
    source = {"path": "x.zip", "splits": {"train": {"glob": "a/*"}}, "credit": "somebody, CC0"}
    runtime.write_text(project / "sources/tiny.yaml", yaml.safe_dump(source))  # one credit for images of many people
    assert header(render(folder))["license"] == "other"


@pytest.mark.parametrize("text", ["a\nb", "<script>alert(1)</script>", "[x](javascript:1)", "a | b", "\x1b[31m", "`x`"])
def test_text_of_others_has_no_meaning_in_markdown(text, project, folder):
    runtime.write_text(project / "sources/titles.yaml", f"tiny: {json.dumps(text)}\n")
    source = yaml.safe_load((project / "sources/tiny.yaml").read_text())
    runtime.write_text(project / "sources/tiny.yaml", yaml.safe_dump({**source, "credit": text}))
    (line,) = (line for line in render(folder).splitlines() if line.startswith("- Credit: "))
    shown = line.removeprefix("- Credit: ")
    assert card.escaped(text) == shown
    for character in "`[]<>|":
        assert shown.count(character) == shown.count(f"\\{character}")
    assert shown.isprintable()


def test_damaged_results_count_as_unknown(folder, project):
    for content in (
        "",
        "\0",
        COLUMNS + "\ntiny,tiny,unet,mode,l2,x,,,40,1,\n",
        COLUMNS + "\ntiny,tiny\n",
        "a,b\n1,2\n",
    ):
        (project / "results/measures.csv").write_text(content)
        assert "The measures of this model are unknown" in render(folder)


def test_the_titles_are_those_of_the_report():
    for name, shown in card.SHOWN.items():
        label = labels.METRIC_LABELS[name]
        assert (shown.title, shown.decimals, shown.better or None) == (label.title, label.decimals, label.better)


def test_the_ethics_of_the_paper_are_named_with_their_source(folder):
    text = render(folder)
    assert "Section 7.1 of the paper" in text
    assert "Kurosawa" in text and "Justin Olah and Jenny Yang" in text
