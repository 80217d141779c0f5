"""Put Table 1 of the default run into README.md: `python tools/update_readme.py`; with `--check`, only compare."""

import sys
from pathlib import Path

START, END = "<!-- table 1 -->\n", "<!-- end of table 1 -->\n"


def main(*arguments: str) -> None:
    """Replace what stands between the two marks by results/table1.md, without its caption."""
    readme = Path("README.md")
    text = readme.read_text(encoding="utf-8")
    blocks = Path("results/table1.md").read_text(encoding="utf-8").strip().split("\n\n")
    before, rest = text.split(START)
    after = rest.split(END)[1]
    updated = before + START + "\n" + "\n\n".join(blocks[1:]) + "\n\n" + END + after
    if arguments == ("--check",):
        if updated != text:
            sys.exit("error: Table 1 in README.md differs from results/table1.md; run `python tools/update_readme.py`")
    else:
        readme.write_text(updated, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
