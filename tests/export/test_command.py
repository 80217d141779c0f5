"""`colorize export`: what it writes, and its errors in one line."""

import pytest

from colorize.__main__ import main
from colorize.export import earlier, onnx
from colorize.runtime import DataError, ParameterError


@pytest.fixture(autouse=True)
def content(monkeypatch) -> bytes:
    """Content of all ONNX files: building one takes seconds, and tests/export/test_onnx.py tests it."""
    content = bytes(1_234_567)
    monkeypatch.setattr(onnx, "build", lambda folder, fp16: content)
    return content


def test_it_writes_an_onnx_file_and_a_folder_and_says_so(model_folder, content, tmp_path, capsys):
    folder = model_folder("regression")
    main("export", str(folder), "--onnx", str(tmp_path / "model.onnx"), "--hub", str(tmp_path / "hub"))
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"{folder} -> {tmp_path / 'model.onnx'}  (1.2 MB; ONNX Runtime and torch agree)"
    assert second.startswith(f"{folder} -> {tmp_path / 'hub'}  (model.safetensors, model.json, model.onnx, ")
    assert (tmp_path / "model.onnx").read_bytes() == content


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ([], ParameterError, "nothing to write; give --onnx FILE, --hub FOLDER or --page FILE"),
        (["--onnx", "."], ParameterError, r"--onnx \.: expected a file, this is a folder"),
        (["--page", "."], ParameterError, r"--page \.: expected a file, this is a folder"),
        (
            ["--onnx", "photo.jpg"],
            ParameterError,
            r"photo\.jpg: expected a name that ends with \.onnx, such",
        ),
        (
            ["--page", "photo.jpg"],
            ParameterError,
            r"photo\.jpg: expected a name that ends with \.html, such",
        ),
        (["--hub"], ParameterError, "argument --hub: expected one argument"),
    ],
)
def test_wrong_arguments_are_one_line(model_folder, arguments, error, message):
    with pytest.raises(error, match=message):
        main("export", str(model_folder("regression")), *arguments)


@pytest.mark.parametrize(("option", "name"), [("--onnx", "x.onnx"), ("--page", "x.html")])
@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_file_that_is_no_export_is_not_replaced(model_folder, tmp_path, option, name, kind):
    other = tmp_path / "other"
    other.write_bytes(b"let-there-be-color 1")  # as in the mark of a photo
    path = tmp_path / name
    path.symlink_to("nowhere") if kind == "link" else other.rename(path)
    with pytest.raises(ParameterError, match=rf"{name}: exists, and is not an earlier export; give another name"):
        main("export", str(model_folder("regression")), option, str(path))
    assert path.is_symlink() if kind == "link" else path.read_bytes() == b"let-there-be-color 1"


def test_the_command_page_replaces_no_photo(model_folder, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"photo")
    with pytest.raises(ParameterError, match=r"photo\.jpg: expected a name that ends with \.html"):
        main("page", str(model_folder("regression")), "-o", str(tmp_path / "photo.jpg"))
    assert (tmp_path / "photo.jpg").read_bytes() == b"photo"


def test_an_earlier_export_is_replaced(model_folder, content, tmp_path, monkeypatch):
    """tests/export/test_onnx.py and tests/export/page/test_file.py check what is an earlier export."""
    monkeypatch.setattr(earlier, "is_export", lambda path: path.read_bytes() == b"an export")
    path = tmp_path / "model.ONNX"
    path.write_bytes(b"an export")
    main("export", str(model_folder("regression")), "--onnx", str(path))
    assert path.read_bytes() == content


def test_a_missing_model_and_a_file_as_model_are_one_line(tmp_path):
    with pytest.raises(DataError, match="no model nothing"):
        main("export", "nothing", "--onnx", str(tmp_path / "x.onnx"))
    (tmp_path / "model.onnx").touch()
    with pytest.raises(ParameterError, match="an ONNX file cannot be exported again"):
        main("export", str(tmp_path / "model.onnx"), "--onnx", str(tmp_path / "x.onnx"))


def test_an_onnx_file_that_cannot_be_written_is_one_line(model_folder, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        main("export", str(model_folder("regression")), "--onnx", str(tmp_path / "file" / "model.onnx"))
