"""The whole page in a real browser: it opens without a network, an error or a request."""

import pytest

from colorize.report import page
from colorize.report.evidence import gather
from tests.helpers import browser
from tests.report.conftest import MODELS, Outputs

HOSTILE = '"><img src=x onerror=alert(1)>.jpg'


@pytest.fixture(scope="module")
def chromium():
    """A browser for all tests of this file."""
    with browser.launched() as launched:
        yield launched


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The page of a made-up run with hostile titles."""
    root = tmp_path_factory.mktemp("run")
    run = Outputs(root, ["objects", "scenes"], MODELS, [0])
    run.write_titles(f"objects: '{HOSTILE}'\nscenes: '\u202e{'long ' * 60}'\n")
    file = root / "report.html"
    file.write_bytes(page.render(gather(run.inputs)))
    return file


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("scheme", [browser.LIGHT, browser.DARK])
def test_the_page_opens_without_errors_and_requests_and_is_accessible(chromium, path, width, scheme):
    opened = browser.open_page(chromium, path, width=width, scheme=scheme)
    assert opened.page.locator("section[data-state=failed]").count() == 0
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert browser.axe_problems(opened.page) == []
    opened.check()
