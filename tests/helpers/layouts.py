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
    names += ["wnids.txt", "train/n01443537/n01443537_boxes.txt"]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(f"tiny-imagenet-200/{name}"), name * 300)
        classes = ("n02123045", "n01443537", "n01443537", "n02123045")
        lines = "".join(f"val_{number}.JPEG\t{name}\t0\t0\t63\t63\n" for number, name in enumerate(classes))
        archive.writestr(zipfile.ZipInfo("tiny-imagenet-200/val/val_annotations.txt"), lines)
    return file.getvalue()


def _places_tar(*names: str, **contents: str) -> bytes:
    """A tar of files that contain their names, and of text files `<key>.txt` with the given contents."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in {**{name: name for name in names}, **{f"{k}.txt": v for k, v in contents.items()}}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content.encode()))
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
        "filelist_places365-standard.tar": _places_tar(
            places365_val="Places365_val_00000001.jpg 1\nPlaces365_val_00000002.jpg 0\n",
            categories_places365="/a/airfield 0\n/a/apartment_building/outdoor 1\n",
        ),
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
