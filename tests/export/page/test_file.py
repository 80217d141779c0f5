"""The page as a file: its policy, what it holds, and the errors while it is written."""

import base64
import gzip
import hashlib
import html
import json
import re

import pytest

from colorize.export import earlier, page, web_runtime
from colorize.report.page import pictures
from colorize.runtime import DataError
from tests.export.page.conftest import HOSTILE

REMEDY = "`make export` installs what the export needs"


@pytest.fixture(scope="module")
def text(page_file) -> str:
    return page_file.read_text(encoding="utf-8")


def block(text: str, name: str) -> str:
    """The content of a data block of the page."""
    return re.search(rf'<script type="[^"]+" id="{name}">(.*?)</script>', text, re.DOTALL)[1]


def test_the_policy_allows_only_the_script_and_the_style_of_the_page(text):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    directives = dict(directive.strip().split(" ", 1) for directive in policy.split(";"))
    (script,), (style,) = (
        re.findall(r"<script>(.*?)</script>", text, re.DOTALL),
        re.findall(r"<style>(.*?)</style>", text, re.DOTALL),
    )
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'" for part in (script, style)
    ]
    assert directives == {
        "default-src": "'none'",
        "script-src": f"{hashes[0]} 'wasm-unsafe-eval'",
        "worker-src": "blob:",
        "style-src": hashes[1],
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_the_page_holds_the_model_and_the_pinned_runtime(text, model_folder):
    assert gzip.decompress(base64.b64decode(block(text, "model"))) == page.onnx.build(model_folder, False)
    wasm = gzip.decompress(base64.b64decode(block(text, "wasm")))
    assert hashlib.sha256(wasm).hexdigest() == web_runtime.SHA256[web_runtime.WASM]
    assert "Permission is hereby granted" in text  # the license of ONNX Runtime Web


def test_a_page_is_recognized_as_an_earlier_export(page_file):
    assert earlier.is_export(page_file)


def test_the_page_says_what_the_model_is(text, model_folder):
    assert "This is a demonstration model." in text
    assert json.loads((model_folder / "model.json").read_text())["weights_sha256"] in text


def test_without_the_script_no_photo_can_be_chosen(text):
    assert re.search(r'<input id="choose"[^>]* disabled>', text)


def test_equal_models_give_equal_bytes(page_file, model_folder):
    assert page.build(model_folder) == page_file.read_bytes()


def test_a_hostile_name_is_only_text(text):
    assert "<img" not in text and html.escape(HOSTILE) in text


def test_a_regression_has_no_temperature_and_no_entropy_map(regression_file):
    regression_text = regression_file.read_text(encoding="utf-8")
    assert 'id="strength"' in regression_text
    assert 'id="temperature"' not in regression_text and 'id="sure"' not in regression_text


def test_the_entropy_map_has_the_colors_of_the_report():
    assert page.RAMP == pictures.VIRIDIS and page.TICKS == pictures.TICKS


def test_without_the_runtime_one_line_names_the_remedy(model_folder, tmp_path):
    with pytest.raises(DataError, match=r"ONNX Runtime Web is missing .*; run `make export` in the repository, or"):
        page.write(model_folder, tmp_path / "page.html", runtime_folder=tmp_path)
    assert not (tmp_path / "page.html").exists()


def test_a_runtime_of_another_version_is_refused(runtime_folder, tmp_path):
    for name in web_runtime.SHA256:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((runtime_folder / name).read_bytes())
    assert web_runtime.read(tmp_path) == web_runtime.read(runtime_folder)
    with (tmp_path / web_runtime.WASM).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(DataError, match=f"not the file of onnxruntime-web {web_runtime.VERSION}; run `make export`"):
        web_runtime.read(tmp_path)


def test_without_npm_one_line_says_how_to_get_the_runtime(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(web_runtime.ParameterError, match=r"npm is missing; install it .* or run `npm pack"):
        web_runtime.install(tmp_path / "folder")
