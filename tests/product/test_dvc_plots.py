"""DVC's own plots in a real browser, without a network: the scripts that they need are in the repository."""

import re

from tests.helpers import browser, processes
from tests.helpers.clones import clone, commit


def test_plots_of_two_commits_are_drawn_without_a_network(tmp_path):
    with browser.launched() as chromium:
        repo = clone(tmp_path / "clone")
        commit(repo)
        curves = repo / "results/curves.csv"
        curves.write_text(re.sub(r"(?m)^(objects-unet-0,.*,350,)", r"\g<1>9", curves.read_text()))
        code, said = processes.dvc(repo, "plots", "diff", "HEAD")
        assert code == 0, said
        opened = browser.open_page(chromium, repo / "dvc_plots/index.html", width=1500)
        opened.page.wait_for_function("document.querySelectorAll('.vega-embed canvas, .vega-embed svg').length >= 5")
        assert opened.page.locator("img").count() == 2  # Figure 3 of both
        ink = "canvas => new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data).size"
        assert opened.page.locator(".vega-embed canvas").first.evaluate(ink) > 20
        assert opened.problems == []
        assert [url for url in opened.requests if not url.startswith(repo.as_uri())] == []
        assert {"HEAD", "workspace"} <= {*re.findall(r'"rev": ?"(\w+)"', (repo / "dvc_plots/index.html").read_text())}
