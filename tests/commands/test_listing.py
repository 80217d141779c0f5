"""Which files are photos: folders, subfolders, links, and results of the program itself."""

from pathlib import Path

from colorize.commands import listing
from tests.helpers.coloring import colorize, draw


def listed(*paths: str, is_recursive: bool = False) -> listing.Listed:
    return listing.find([Path(path) for path in paths], is_recursive)


def found(*paths: str, is_recursive: bool = False) -> list[tuple[str, str]]:
    return [(str(entry.path), str(entry.below)) for entry in listed(*paths, is_recursive=is_recursive).entries]


def test_subfolders_are_counted_or_listed_with_their_place_in_the_tree(here):
    for name in ("album/b.jpg", "album/1943/a.jpg", "album/1943/may/a.jpg", "album/.hidden/a.jpg", "album/.b.jpg"):
        draw(name)
    assert found("album") == [("album/b.jpg", ".")]
    assert listed("album").num_subfolders == 1
    assert found("album", is_recursive=True) == [
        ("album/b.jpg", "."),
        ("album/1943/a.jpg", "1943"),
        ("album/1943/may/a.jpg", "1943/may"),
    ]
    assert listed("album", is_recursive=True).num_subfolders == 0


def test_a_photo_counts_once_under_all_its_names(here):
    draw("album/1943/a.jpg")
    Path("link").symlink_to("album")
    Path("album/1943/same.jpg").symlink_to("a.jpg")
    assert found("album/1943", "link/1943/a.jpg", "album/../album/1943/a.jpg") == [("album/1943/a.jpg", ".")]


def test_a_link_to_a_folder_above_ends(here):
    draw("album/1943/a.jpg")
    Path("album/1943/up").symlink_to("..")
    assert found("album", is_recursive=True) == [("album/1943/a.jpg", "1943")]


def test_a_folder_with_photos_only_in_subfolders_names_the_option(here):
    draw("album/1943/a.jpg")
    assert listed("album").failures == [(Path("album"), "no photos in this folder; --recursive adds its subfolders")]
    assert listed("album", is_recursive=True).failures == []


def test_results_and_entropy_maps_are_not_photos_wherever_they_are_and_whatever_they_are_called(here):
    draw("album/a.jpg")
    draw("album/1943/b.png")
    assert colorize("album", "-r", "-o", "album/out", "--confidence") == 0
    Path("album/out/a.jpg").rename("album/1943/renamed.jpg")
    Path("album/out/a.jpg.entropy.png").rename("album/1943/map.png")
    draw("album/c.entropy.png")
    assert found("album", is_recursive=True) == [("album/a.jpg", "."), ("album/1943/b.png", "1943")]
    assert listed("album", is_recursive=True).num_results == 5


def test_files_of_other_kinds_are_counted_by_ending(here):
    draw("album/a.jpg")
    for name in ("x.heic", "y.heic", "notes.txt"):
        Path("album", name).touch()
    assert listed("album").left_out == {".heic": 2, ".txt": 1}
