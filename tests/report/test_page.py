"""The page: allowed code only, safe texts, equal bytes. tests/product/test_page.py tests it in a browser."""

import base64
import hashlib
import json
import re

from colorize.report import page
from colorize.report.evidence import gather
from colorize.report.page.section import Section
from colorize.runtime.inline import json_text

HOSTILE = '</script><img src=x onerror=alert(1)>"&'


def test_two_pages_of_equal_results_have_equal_bytes(make_run):
    run = make_run(("a", "b"), ("cnn", "unet"))
    assert page.render(gather(run.inputs)) == page.render(gather(run.inputs))


def test_the_policy_allows_exactly_the_code_of_the_page_and_no_request(make_run):
    html = page.render(gather(make_run(("a",), ("cnn",)).inputs)).decode()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)[1]
    code = re.findall(r"<(style|script)>(.*?)</\1>", html, re.DOTALL)
    hashes = {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for _, text in code}
    assert set(re.findall(r"'sha256-([^']*)'", policy)) == hashes
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert not re.search(r"unsafe|https?:|connect-src", policy)


def test_data_cannot_end_its_script_element():
    text = json_text({"name": HOSTILE})
    assert "<" not in text and ">" not in text
    assert json.loads(text) == {"name": HOSTILE}


def test_a_section_without_data_has_no_data_block(make_run):
    run = make_run(("a",), ("cnn",))
    first = page.overview.build(gather(run.inputs))
    html = page.assemble([Section(first.id, first.title, first.values)], "title")
    assert f'id="{first.id}-data"' not in html
