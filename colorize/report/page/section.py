"""What a section of the page consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Section:
    """One section of the page.

    Attributes:
        id: anchor of the section, and name of its template and assets: `templates/<id>.html.j2`, `assets/<id>.js`.
        title: heading, and text of its link at the top of the page.
        values: for the template.
        data: for the script of the section, which receives it as an object; None: the section has no data.
    """

    id: str
    title: str
    values: Mapping[str, Any]
    data: Any = None
