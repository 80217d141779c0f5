"""The report: Table 1, the paper's figures, the training curves and the gallery, from the outputs of other stages.

Not here: computing measures, which is in `evaluation`.

`write_report` does not import torch and does not read the shards: evaluation saves the pictures that are shown. It
writes these files:

    results/table1.csv .md .tex    results/table1_intervals.tex    results/table2.md
    results/measures.csv           results/differences.csv         results/generalization.csv
    results/curves.csv             results/overfitting.csv         results/calibration.csv
    results/claims.md              results/metrics/*/*.json        results/figures/*
    data/report.html               data/gallery/*
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from colorize.layout import Cell, Folders
from colorize.report import (
    claims_page,
    curves,
    decodings,
    diagram,
    differences,
    dots,
    figures,
    gallery,
    generalization,
    grid,
    latex_intervals,
    matrix,
    measures,
    overfitting,
    page,
    style,
    table,
    temperature,
    tradeoff,
)
from colorize.report.evidence import Evidence, gather
from colorize.report.inputs import Inputs
from colorize.report.leftovers import refuse_leftovers
from colorize.runtime import atomic_write, fault_point, progress, write_json

if TYPE_CHECKING:
    from rich.console import Console

    from colorize.config.params import Settings

FIGURES, METRICS = Path("results") / "figures", Path("results") / "metrics"
GALLERY, PAGE = Path("data") / "gallery", Path("data") / "report.html"
SUMMARY = (
    "Table 1: results/table1.md   who won, and how sure that is: results/claims.md\n"
    f"figures: {FIGURES}/   all saved predictions: {GALLERY}/index.html\n"
    f"all of this on one page, to open in a browser: {PAGE}"
)


def write_report(settings: Settings, root: Path = Path()) -> None:
    """Write every table, figure and page. Equal inputs give files with equal bytes.

    Args:
        settings: `params.Settings`; `datasets`, `unions`, `models`, `seeds`, `report` and `evaluate.named` are read.
        root: folder that contains `results/`, `data/` and `sources/`.

    Raises:
        DataError: an input is missing or damaged; the message names the file and the stage that makes it. Or there are
            results that params.yaml does not name.
        ParameterError: `sources/titles.yaml` is damaged.
    """
    inputs = _inputs(settings, root)
    refuse_leftovers(inputs)
    sheets = _photo_figures(inputs, settings)
    with progress("write the report", total=len(sheets) + 5, unit="files") as advance:
        evidence = gather(inputs)
        _write_metrics(evidence.table1, inputs.folders)
        advance(1)
        _write_texts(evidence, root / "results")
        advance(1)
        pictures = _plots(evidence)
        advance(1)
        for name, groups in sheets.items():
            pictures[f"{name}.jpg"] = grid.encode_jpeg(grid.compose(groups))
            advance(1)
        _write_folder(root / FIGURES, pictures)
        _write_folder(root / GALLERY, gallery.render_gallery(inputs))
        advance(1)
        _write(root / PAGE, page.render(evidence))
        advance(1)


def _plots(evidence: Evidence) -> dict[str, bytes]:
    """All plots by file name, each as PNG and as PDF. Plots of classifiers are left out if there are none."""
    inputs, table1 = evidence.inputs, evidence.table1
    plots = {
        "figure1": diagram.plot_networks(inputs),
        "curves": curves.plot_curves(inputs),
        "table1": dots.plot_table(table1),
        "matrix": matrix.plot_matrix(table1),
        "tradeoff": tradeoff.plot_tradeoff(inputs, evidence.decoded),
    }
    if inputs.classifiers:
        plots["temperature"] = temperature.plot_curves(inputs)
    return dict(itertools.chain(*(style.encode(name, figure).items() for name, figure in plots.items())))


def read_table(settings: Settings, root: Path = Path()) -> table.Table:
    """Table 1, read from the evaluations; arguments and errors are those of `write_report`."""
    return table.read_table(_inputs(settings, root))


def _inputs(settings: Settings, root: Path) -> Inputs:
    unions = {name: (union.first, union.second) for name, union in settings.unions.items()}
    return Inputs(settings.datasets, settings.models, settings.seeds, root, unions)


def show_table(table1: table.Table, console: Console | None = None) -> None:
    """Print Table 1."""
    from rich.console import Console

    console = console or Console()
    if not console.is_terminal:
        console.width = max(console.width, 120)
    console.print(table.to_rich(table1, console.width))


def _photo_figures(inputs: Inputs, settings: Settings) -> dict[str, list[grid.PhotoGroup]]:
    """Photo figures by file name. A figure is left out if its data sets, models or named images are missing."""
    report, datasets = settings.report, inputs.datasets
    second = datasets[1] if len(datasets) > 1 else datasets[0]  # stands for the paper's Places
    sheets = {}
    if len(datasets) > 1:
        sheets["figure2"] = figures.same_domain(inputs, second, report.columns)
    sheets["figure3"] = figures.same_domain(inputs, datasets[0], report.columns)
    sheets |= {f"figure_{name}": figures.same_domain(inputs, name, report.columns) for name in datasets[2:]}
    if report.figure4_models:
        sheets["figure4"] = figures.worst(inputs, second, report.figure4_models, report.columns)
    figure5 = report.figure5
    if named := settings.evaluate.named.get(figure5.target, []):
        sheets["figure5"] = figures.named(inputs, Cell(figure5.source, figure5.model, figure5.target), named)
    if len(datasets) > 1:
        sheets["figure6"] = figures.cross_domain(inputs, report.figure6_model, (datasets[0], second), report.columns)
    return sheets


def _write_texts(evidence: Evidence, folder: Path) -> None:
    """Write all tables and lists of numbers."""
    inputs, table1 = evidence.inputs, evidence.table1
    texts = {
        "table1.csv": table.to_csv(table1),
        "table1.md": table.to_markdown(table1),
        "table1.tex": table.to_latex(table1),
        "table1_intervals.tex": latex_intervals.to_latex(table1),
        "table2.md": decodings.to_markdown(inputs, evidence.decoded),
        "claims.md": claims_page.to_markdown(table1, evidence.claims),
        "curves.csv": curves.to_csv(inputs),
        "differences.csv": differences.to_csv(table1.rankings.values()),
        "generalization.csv": generalization.to_csv(evidence.ratios),
        "measures.csv": measures.to_csv(evidence.measures),
        "overfitting.csv": overfitting.to_csv(evidence.gaps),
        "calibration.csv": temperature.to_csv(inputs),
    }
    for name, text in texts.items():
        _write(folder / name, text.encode())


def _write_metrics(table1: table.Table, folders: Folders) -> None:
    """Write a JSON file per cell; DVC compares these values between commits."""
    for cell, found in table1.cells.items():
        write_json(folders.metrics(cell), found.ours)
    _delete_others(folders.root / METRICS, {folders.metrics(cell) for cell in table1.cells})


def _write_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Write these files, and delete all other files of the folder."""
    for name, content in files.items():
        _write(folder / name, content)
    _delete_others(folder, {folder / name for name in files})


def _delete_others(folder: Path, kept: set[Path]) -> None:
    """Delete all other files of a folder, such as pictures of a removed data set, and folders that become empty."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
        elif path.is_file() and path not in kept:
            path.unlink()


def _write(path: Path, content: bytes) -> None:
    fault_point("report-files")
    with atomic_write(path) as file:
        file.write(content)
