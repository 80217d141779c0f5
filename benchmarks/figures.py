"""The tables in benchmarks/README.md, made from benchmarks/figures.csv.

    python -m benchmarks.figures                    # write the tables into README.md
    python -m benchmarks.figures --check            # only compare
    python -m benchmarks.figures --add RECORD...    # first add records from benchmarks/records to figures.csv

README.md has one pair of marks per machine. The tables of this machine are between the two marks.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

from colorize import runtime

FOLDER = Path(__file__).resolve().parent
LIMIT = " (limit)"  # ends the name of a contender that measures a limit
COLUMNS = (
    "question", "conditions", "unit", "ours", "peer", "peer_rate", "ratio", "ratio_low", "ratio_high",
    "share_of_limit", "limit", "note", "machine", "load", "date", "date_source", "versions", "commit", "in_history",
    "clean_tree",
)  # fmt: skip
_MARKS = re.compile(r"(<!-- figures: (.+?) -->\n).*?(<!-- end of figures -->\n)", re.DOTALL)


def read() -> list[dict[str, str]]:
    """Read the figures, one per peer."""
    with (FOLDER / "figures.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def add(records: list[dict]) -> None:
    """Add the figures of records to figures.csv; they replace older figures of the same measurement."""

    def key(row: dict) -> tuple:
        return tuple(row[name] for name in ("machine", "question", "conditions", "peer"))

    rows = {key(row): row for row in [*read(), *(row for record in records for row in rows_of(record))]}
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows.values())
    runtime.write_text(FOLDER / "figures.csv", text.getvalue())


def rows_of(record: dict) -> list[dict[str, str]]:
    """Make one figure per peer from a record of `harness.report`."""
    common = {name: record[name] for name in ("question", "unit", "limit")}
    ours = next(row for row in record["rows"] if row["rate"] and not row["ratio"])
    common |= {
        "conditions": conditions_text(record["conditions"]),
        "ours": _four_digits(ours["rate"]),
        "share_of_limit": "" if ours["share"] is None else f"{ours['share']:.3f}",
        "note": ours["note"],
        "machine": _machine_text(record["machine"]),
        "load": record["machine"]["load"],
        "date": record["date"][:10],
        "date_source": record.get("date_source", "record"),
        "versions": "; ".join(f"{name} {version}" for name, version in sorted(record["versions"].items())),
        "commit": record["commit"] or "unknown",
        "in_history": "yes" if in_history(record["commit"]) else "no",
        "clean_tree": {True: "yes", False: "no", None: "unknown"}[record["clean_tree"]],
    }
    found = []
    for row in record["rows"]:
        if row["ratio"] and not row["name"].startswith("ours") and not row["name"].endswith(LIMIT):
            ratios = dict(
                zip(("ratio", "ratio_low", "ratio_high"), (f"{value:.3g}" for value in row["ratio"]), strict=True)
            )
            figure = common | ratios | {"peer": row["name"], "peer_rate": _four_digits(row["rate"])}
            found.append({name: "" if figure[name] is None else str(figure[name]) for name in COLUMNS})
    return found


def conditions_text(conditions: dict) -> str:
    """Describe the settings of a measurement in one line, in an order that does not depend on the dictionary's."""
    shown = {name: value for name, value in conditions.items() if name not in ("small", "device")}
    words = [shown[name] for name in sorted(shown) if isinstance(shown[name], str)]
    numbers = [f"{name} {shown[name]:,.10g}" for name in sorted(shown) if not isinstance(shown[name], str)]
    return ", ".join(words + numbers)


def _four_digits(value: float) -> str:
    return f"{float(f'{value:.4g}'):.10g}"


def _machine_text(machine: dict) -> str:
    return f"{machine['gpu'] or machine['cpu'] + ' (' + ', '.join(machine['flags']) + ')'}, {machine['cores']} cores"


def in_history(commit: str | None) -> bool:
    """Whether the commit is HEAD or an ancestor of it."""
    if not commit:
        return False
    command = ["git", "-C", str(FOLDER), "merge-base", "--is-ancestor", commit, "HEAD"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def render(readme: str, figures: list[dict[str, str]]) -> str:
    """Return the text of README.md with the tables of every machine between its marks.

    Raises:
        ValueError: the text has no marks for a machine of the figures.
    """
    missing = {row["machine"] for row in figures} - {machine for _, machine, _ in _MARKS.findall(readme)}
    for machine in sorted(missing):
        marks = f"<!-- figures: {machine} --> and <!-- end of figures -->"
        raise ValueError(f"benchmarks/README.md has no marks for a machine; add the two lines {marks}")
    return _MARKS.sub(lambda found: found[1] + _tables(found[2], figures) + found[3], readme)


def _tables(machine: str, figures: list[dict[str, str]]) -> str:
    rows = [row for row in figures if row["machine"] == machine]
    questions = dict.fromkeys(row["question"] for row in rows)
    return "\n".join(_table([row for row in rows if row["question"] == question]) for question in questions)


def _table(rows: list[dict[str, str]]) -> str:
    """Make the table of one question, with one line per peer; common conditions go into the heading."""
    conditions = [row["conditions"].split(", ") for row in rows]
    common = [text for text in conditions[0] if all(text in others for others in conditions)]
    in_heading = f" ({', '.join(common)})" if common else ""
    has_notes = any(row["note"] for row in rows)
    headings = ["peer", "our rate", "peer's rate", "ratio (range)"]
    lines = [[*headings, "share of limit", *["note"] * has_notes], [":---", *["---:"] * 4, *[":---"] * has_notes]]
    for row, texts in zip(rows, conditions, strict=True):
        peer = ", ".join([row["peer"], *(text for text in texts if text not in common)])
        low, middle, high = (_ratio(row[name]) for name in ("ratio_low", "ratio", "ratio_high"))
        share = f"{float(row['share_of_limit']):.0%} of {row['limit']}" if row["share_of_limit"] else ""
        rates = [f"{float(f'{float(row[name]):.3g}'):,.10g} {row['unit']}" for name in ("ours", "peer_rate")]
        lines.append([peer, *rates, f"{middle} ({low} to {high})", share, *[row["note"]] * has_notes])
    return f"**{rows[0]['question']}**{in_heading}\n\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _ratio(text: str) -> str:
    return f"{float(text):.1f}" if float(text) < 100 else f"{float(text):.0f}"


def main() -> None:
    """Update README.md, or only compare it, or add records first."""
    parser = argparse.ArgumentParser(description="Write the tables of figures.csv into benchmarks/README.md.")
    options = parser.add_mutually_exclusive_group()
    options.add_argument("--check", action="store_true", help="only compare; exit code 1 if README.md differs")
    options.add_argument("--add", nargs="+", type=Path, metavar="RECORD", help="add records to figures.csv first")
    chosen = parser.parse_args()
    try:
        if chosen.add:
            add([json.loads(path.read_text(encoding="utf-8")) for path in chosen.add])
        readme = FOLDER / "README.md"
        text = readme.read_text(encoding="utf-8")
        updated = render(text, read())
    except (KeyError, TypeError):
        sys.exit("error: --add needs records of benchmarks, such as the files in benchmarks/records")
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    if not chosen.check:
        runtime.write_text(readme, updated)
    elif updated != text:
        sys.exit("error: benchmarks/README.md differs from figures.csv; run `python -m benchmarks.figures`")


if __name__ == "__main__":
    main()
