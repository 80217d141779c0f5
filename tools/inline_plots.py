"""Copy the scripts of stages/plots/vendor/ into the template of DVC's plots: `python tools/inline_plots.py`.

DVC writes its page to `dvc_plots/` of the current folder, or to the folder after `--out`. From there, no relative
address of a script is always right, so the template holds the scripts themselves. Run this after you change a file of
`vendor/`.
"""

import re
from pathlib import Path

PLOTS = Path(__file__).resolve().parents[1] / "stages/plots"
TEMPLATE = PLOTS / "page.html"
_SCRIPT = re.compile(r'(<script data-from="([^"]+)">).*?(</script>)', re.DOTALL)
_RESERVED = re.compile(r"</script|<!--|\{(?:scripts|plot_divs|refresh_tag)\}", re.IGNORECASE)


def inlined(template: str, folder: Path) -> str:
    """A template with the current text of each script that an attribute `data-from` names.

    Args:
        template: the HTML text.
        folder: where the names of the scripts begin.

    Raises:
        ValueError: a script holds a text that has a meaning for HTML or for DVC; the message names both.
    """

    def fill(found: re.Match[str]) -> str:
        text = (folder / found[2]).read_text(encoding="utf-8")
        if reserved := _RESERVED.search(text):
            raise ValueError(f"{found[2]} contains {reserved[0]!r}, so it cannot be part of the page")
        return f"{found[1]}\n{text.rstrip()}\n{found[3]}"

    return _SCRIPT.sub(fill, template)


if __name__ == "__main__":
    TEMPLATE.write_text(inlined(TEMPLATE.read_text(encoding="utf-8"), PLOTS), encoding="utf-8")
