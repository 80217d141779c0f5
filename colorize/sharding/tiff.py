"""Detect a TIFF whose strips or tiles do not cover the whole image (TIFF 6.0). Pillow leaves uncovered pixels black."""

from PIL.TiffImagePlugin import TiffImageFile

_CHANNELS, _PLANES, _SEPARATE = 277, 284, 2


def has_all_strips(photo: TiffImageFile) -> bool:
    """Whether the strips or tiles of an opened TIFF cover the whole image."""
    # libtiff reads compressed strips and tiles, and checks this itself
    if any(tile.codec_name != "raw" for tile in photo.tile):
        return True
    planes = photo.tag_v2.get(_CHANNELS, 1) if photo.tag_v2.get(_PLANES) == _SEPARATE else 1
    boxes = [tile.extents for tile in photo.tile if tile.extents]
    covered = sum((right - left) * (lower - upper) for left, upper, right, lower in boxes)
    return covered >= photo.width * photo.height * planes
