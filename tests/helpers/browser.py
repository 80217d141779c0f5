"""A real browser for the pages: Chromium without a window and without a network. Tests skip where there is none."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROGRAMS = ("chromium-headless-shell", "chromium", "google-chrome")
REMEDY = "`make browser` installs what the tests of the pages need"
LIGHT, DARK = "light", "dark"
TIMEOUT_MS = 10_000


@dataclass
class Opened:
    """A page in the browser, and what went wrong in it.

    Attributes:
        page: playwright's page.
        problems: errors on the console, exceptions of scripts, and violations of the content security policy.
        requests: the addresses of all requests but the page itself and what is in it (`data:` and `blob:` addresses).
    """

    page: object
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Nothing went wrong, and no request left the page."""
        assert self.problems == []
        assert self.requests == []


@contextlib.contextmanager
def launched() -> Iterator[object]:
    """A browser of playwright; skips the test if there is no browser or no playwright."""
    sync_api = pytest.importorskip("playwright.sync_api", reason=f"playwright is not installed; {REMEDY}")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"there is no browser; {REMEDY}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def open_page(
    browser, path: Path, width: int = 1400, height: int = 900, scheme: str = LIGHT, is_phone: bool = False
) -> Opened:
    """Open a file without a network.

    Args:
        browser: from `launched`.
        path: the HTML file.
        width: of the window, CSS pixels.
        height: of the window, CSS pixels.
        scheme: LIGHT or DARK.
        is_phone: fingers instead of a mouse, and the page scales as on a telephone.
    """
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=is_phone, is_mobile=is_phone
    )
    context.set_offline(True)
    context.set_default_timeout(TIMEOUT_MS)
    opened = Opened(context.new_page())
    address = path.resolve().as_uri()
    opened.page.on("console", lambda said: said.type == "error" and opened.problems.append(said.text))
    opened.page.on("pageerror", lambda error: opened.problems.append(str(error)))
    opened.page.on("request", lambda request: _note(opened, request.url, address))
    opened.page.goto(address)
    return opened


def _note(opened: Opened, url: str, address: str) -> None:
    if url.partition("#")[0] != address and not url.startswith(("data:", "blob:")):
        opened.requests.append(url)


def axe_problems(page) -> list[str]:
    """The serious and critical findings of axe about accessibility, one line each."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=f"axe is not installed; {REMEDY}")
    found = axe.Axe().run(page).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes'][:3]]}" for one in serious]
