"""Put the small table of the default run into README.md: `python tools/update_readme.py`; `--check` only compares."""

import csv
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from colorize.report.labels import ABSENT, format_with_sd, metric_title, model_title, read_titles
from colorize.report.table import NOT_IN_TERMINAL, WORSE, escape_markdown

START, END = "<!-- table 1 -->\n", "<!-- end of table 1 -->\n"
METRICS = ("l2", "cross_entropy", "accuracy")
LEFT_OUT = (*NOT_IN_TERMINAL, "oracle")
TEMPLATES = {"best": "**{}**", "worse": f"{{}}{WORSE}", "": "{}"}  # by mark


def main(*arguments: str) -> None:
    """Replace the text between the two marks with a table of the same-domain results in results/table1.csv."""
    readme = Path("README.md")
    text = readme.read_text(encoding="utf-8")
    before, rest = text.split(START)
    after = rest.split(END)[1]
    updated = before + START + "\n" + same_domain_table() + "\n" + END + after
    if arguments == ("--check",):
        if updated != text:
            sys.exit("error: the table in README.md differs from results/; run `python tools/update_readme.py`")
    else:
        readme.write_text(updated, encoding="utf-8")


def same_domain_table() -> str:
    """A Markdown table, one line per model: for each data set, the metrics of the model trained and tested on it.

    Some baselines and the oracle are left out. The marks are those of Table 1.
    """
    with Path("results/table1.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == row["target"]]
    texts = {(row["source"], row["model"], row["metric"]): _text(row) for row in rows}
    datasets, models = (list(dict.fromkeys(row[key] for row in rows)) for key in ("source", "model"))
    columns = [(dataset, metric) for dataset in datasets for metric in METRICS]
    known_titles = read_titles()
    titles = [f"{known_titles.get(dataset, dataset)}: {metric_title(metric)}" for dataset, metric in columns]
    lines = [["Model", *map(escape_markdown, titles)], [":---", *["---:"] * len(columns)]]
    for model in (model for model in models if model not in LEFT_OUT):
        numbers = [texts.get((dataset, model, metric), ABSENT) for dataset, metric in columns]
        lines.append([escape_markdown(model_title(model)), *numbers])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _text(row: dict[str, str]) -> str:
    """The number of one line of results/table1.csv, with its mark."""
    sd = float(row["sd"]) if row["sd"] else None
    return TEMPLATES[row["mark"]].format(format_with_sd(float(row["value"]), sd, row["metric"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
