"""data/report.html: one page with all results. It is a single file, works without a network, and runs only own scripts.

Not here: computing results, which is in `colorize/report/`. Each section of the page has a file here, a template, and,
where needed, a style sheet and a script of the same name in `assets/`.

The content security policy of the page allows no request, and only the style sheet and the scripts whose hashes it
names. jinja2 escapes every text, and scripts insert texts as texts. So a name of a file or a data set changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from colorize.report.changes import Changes
from colorize.report.evidence import Evidence
from colorize.report.inputs import Inputs
from colorize.report.page import (
    calibration,
    changes,
    claims,
    curves,
    failures,
    gallery,
    matrix,
    overview,
    prior,
    sheet,
    table,
    tradeoff,
)
from colorize.report.page.section import Section
from colorize.runtime.inline import json_text, source_hash

FOLDER = Path(__file__).parent
VENDORED_SCRIPTS = ("sortable.min.js", "uPlot.iife.min.js")
VENDORED_STYLES = ("uPlot.min.css",)
SHARED = ("page", "chart", "sprites")  # style sheets and scripts in `assets/` that several sections use
BUILDERS = (
    overview.build,
    table.build,
    claims.build,
    matrix.build,
    gallery.build,
    failures.build,
    curves.build,
    tradeoff.build,
    calibration.build,
    prior.build,
    sheet.build,
)  # one per section, in the order of the page


def render(evidence: Evidence) -> bytes:
    """The page. Equal results give equal bytes.

    Raises:
        DataError: an input is missing or damaged; the message names the file and the stage that makes it.
    """
    sections = [section for build in BUILDERS if (section := build(evidence)) is not None]
    return assemble(sections, "Let There Be Color: results").encode()


def render_comparison(
    before: Inputs, after: Evidence, found: Changes, names: list[str], params: list[dict[str, Any]]
) -> bytes:
    """The page of the run `after`, with its differences to the run `before` at the top.

    Args:
        before: the input files of the other run.
        after: the results of this run.
        found: the differences of the measures.
        names: of both runs.
        params: the contents of params.yaml of both runs.

    Raises:
        DataError: an input is missing or damaged; the message names the file.
    """
    first = changes.build(found, before.titles | after.inputs.titles, names, params)
    rest = [build(after) for build in BUILDERS if build != gallery.build]
    sections = [first, gallery.build(after, before), *rest]
    return assemble(
        [section for section in sections if section is not None],
        f"Let There Be Color: {names[1]} compared with {names[0]}",
    ).encode()


def assemble(sections: list[Section], title: str) -> str:
    """HTML of a page with these sections."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = [*SHARED, *(section.id for section in sections)]
    style = "\n".join([*map(_vendored, VENDORED_STYLES), *_assets(names, "css")])
    scripts = [*map(_vendored, VENDORED_SCRIPTS), "\n".join(_assets(names, "js"))]
    return environment.get_template("page.html.j2").render(
        title=title,
        sections=sections,
        bodies={one.id: environment.get_template(f"{one.id}.html.j2").render(one.values) for one in sections},
        data={one.id: json_text(one.data) for one in sections if one.data is not None},
        style=style,
        scripts=scripts,
        style_hash=source_hash(style),
        script_hashes=[source_hash(script) for script in scripts],
    )


def _vendored(name: str) -> str:
    return (FOLDER / "vendor" / name).read_text(encoding="utf-8")


def _assets(names: Iterable[str], suffix: str) -> list[str]:
    """The style sheets or scripts of those sections that have one."""
    paths = (FOLDER / "assets" / f"{name}.{suffix}" for name in names)
    return [path.read_text(encoding="utf-8") for path in paths if path.exists()]
