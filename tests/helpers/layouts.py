"""Small archives in the layouts of the paper's data sets, and what an error for the user must look like."""

import contextlib
import io
import tarfile
import zipfile

import pytest


def _tiny_imagenet_zip() -> bytes:
    names = [
        f"train/{wnid}/images/{wnid}_{number}.JPEG" for wnid in ("n01443537", "n02123045") for number in (0, 1, 10)
    ]
    names += [f"val/images/val_{number}.JPEG" for number in range(4)] + [f"test/images/test_{n}.JPEG" for n in range(3)]
    names += ["wnids.txt", "train/n01443537/n01443537_boxes.txt", "val/val_annotations.txt"]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(f"tiny-imagenet-200/{name}"), name * 300)
    return file.getvalue()


def _places_tar(*names: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            archive.addfile(info, io.BytesIO(name.encode()))
    return file.getvalue()


@pytest.fixture(scope="session")
def real_layouts() -> dict[str, bytes]:
    """File name and content of one small archive for each that the paper's data sets are published as."""
    return {
        "tiny-imagenet-200.zip": _tiny_imagenet_zip(),
        "train_256_places365standard.tar": _places_tar(
            "data_256/a/airfield/00000001.jpg",
            "data_256/a/apartment_building/outdoor/00000002.jpg",
            "data_256/readme.txt",
        ),
        "val_256.tar": _places_tar("val_256/Places365_val_00000002.jpg", "val_256/Places365_val_00000001.jpg"),
        "test_256.tar": _places_tar("test_256/Places365_test_00000001.jpg"),
    }


@pytest.fixture(scope="session")
def expect_one_line():
    """Context manager: an error of this type is raised, its message is one line and holds all these words."""

    @contextlib.contextmanager
    def expectation(error_type: type[Exception], *words: object):
        with pytest.raises(error_type) as caught:
            yield
        message = str(caught.value)
        assert "\n" not in message
        for word in words:
            assert str(word) in message

    return expectation
