"""Damaged parameter and source files: loaded as DVC reads them, or refused in one line."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colorize.config import params
from colorize.runtime import ParameterError
from colorize.sharding import sources

REPO = Path(__file__).parents[2]
PARAMS = (REPO / "profiles" / "sample.yaml").read_text()
SOURCES = {name: (REPO / "sources" / f"{name}.yaml").read_text() for name in ("tiny_imagenet", "objects")}

VALUES = st.one_of(
    st.sampled_from([
        "", "~", "null", "true", "yes", "no", "0", "-1", "010", "0x10", "0o7", "1_000", "1:30", "1e-4", "1.", ".5",
        "1e999", ".nan", "-.inf", "'1'", "[1]", "{a: 1}", "[[[[", "*a", "&a", "!!int x", "!!python/name:os.system",
        "2001-13-45", "|", ">", "? a", "%YAML 1.1", "---", "\t", "\x00", "\ufeff", "\u2028", "keep", "objects", "unet",
        "=", "<<", "9" * 5000,
    ]),
    st.integers().map(str),
    st.floats().map(repr),
    st.text(max_size=12),
)  # fmt: skip


@st.composite
def edited(draw, text: str) -> str:
    """The file after one to four edits of whole lines, of values or of single characters."""
    lines = text.splitlines()
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        kind = draw(st.sampled_from(["value", "value", "value", "repeat", "delete", "indent", "character"]))
        if kind == "value":
            key = re.match(r"[^#]*?(: |:$|- )|", lines[at])[0]
            lines[at] = f"{key} {draw(VALUES)} "
        elif kind == "repeat":
            lines.insert(draw(st.integers(0, len(lines))), lines[at])
        elif kind == "delete":
            lines[at] = ""
        elif kind == "indent":
            lines[at] = " " * draw(st.integers(0, 4)) + lines[at].lstrip()
        elif lines[at]:
            place = draw(st.integers(0, len(lines[at]) - 1))
            lines[at] = lines[at][:place] + draw(st.characters()) + lines[at][place + 1 :]
    return "\n".join(lines)


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Where every example writes its file."""
    return tmp_path_factory.mktemp("fuzz")


def loaded(load, path: Path, text: str):
    """The loaded file; None where it is refused, in one line."""
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        return load()
    except ParameterError as error:
        assert "\n" not in str(error) and str(path) in str(error) and len(str(error)) < 20_000
        return None


@given(text=edited(PARAMS))
def test_a_damaged_parameter_file_is_refused_or_read_as_dvc_reads_it(folder, text):
    from ruamel.yaml import YAML  # DVC's parser, which comes with it

    path = folder / "params.yaml"
    settings = loaded(lambda: params.load(path), path, text)
    if settings is not None:
        assert settings == params.Settings.model_validate(YAML(typ="safe", pure=True).load(text))


@pytest.mark.parametrize("name", SOURCES)
@given(data=st.data())
def test_a_damaged_source_file_is_read_or_refused(folder, name, data):
    path = folder / "mine.yaml"
    loaded(lambda: sources.load("mine", folder), path, data.draw(edited(SOURCES[name])))


@given(text=st.text(max_size=200))
def test_whatever_the_text_is_a_parameter_file_is_read_or_refused(folder, text):
    path = folder / "params.yaml"
    loaded(lambda: params.load(path), path, text)
