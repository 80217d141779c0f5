"""DVC's own plots in a real browser, without a network: a page holds the scripts that it needs, in every folder."""

import csv
import json
import re
import shutil
from pathlib import Path

from tests.helpers import browser, processes
from tests.helpers.clones import ROOT, commit

LINES = """async spec => {
    const drawn = document.body.appendChild(document.createElement('div'))
    await vegaEmbed(drawn, spec, {renderer: 'svg', actions: false})
    return [...drawn.querySelectorAll('.mark-line.role-mark > path')].map(path => path.getAttribute('d'))
}"""


def make_repo(folder: Path) -> Path:
    """A git repository with what DVC's plots need: settings, templates and the committed results."""
    for name in ("results", "stages/plots"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / ".dvc").mkdir()
    for name in (".dvc/config", "dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, folder / name)
    commit(folder)
    return folder


def test_plots_of_two_revisions_are_drawn_without_a_network_outside_the_repository(tmp_path):
    with browser.launched() as chromium:
        repo = make_repo(tmp_path / "repo")
        curves = repo / "results/curves.csv"
        curves.write_text(re.sub(r"(?m)^(objects-unet-0,.*,350,[^,]*,)", r"\g<1>9", curves.read_text()))
        out = tmp_path / "elsewhere/deep"
        code, said = processes.dvc(repo, "plots", "diff", "HEAD", "--out", str(out))
        assert code == 0, said
        opened = browser.open_page(chromium, out / "index.html", width=1500)
        opened.page.wait_for_function("document.querySelectorAll('.vega-embed canvas, .vega-embed svg').length >= 5")
        assert opened.page.locator("img").count() == 2  # Figure 3 of both
        specs = {
            spec["title"]["text"]: spec
            for spec in map(json.loads, re.findall(r"var spec = (.*);\n", (out / "index.html").read_text()))
        }
        runs = {row["run"] for row in csv.DictReader(curves.open())}
        lines = opened.page.evaluate(LINES, specs["validation loss"])
        assert len(lines) == 2 * len(runs)
        assert len({*lines}) == len(runs) + 1  # one run has another line in each revision
        assert opened.problems == []
        assert [url for url in opened.requests if not url.startswith(out.as_uri())] == []
