"""Text inside an HTML page whose content security policy allows only what the page names."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any


def json_text(data: Any) -> str:
    """JSON that cannot end the `<script>` element that contains it. NaN is not allowed: use None."""
    text = json.dumps(data, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def source_hash(text: str) -> str:
    """The source expression that allows this inline style sheet or script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
