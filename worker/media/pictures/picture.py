"""Picture: pixels apart from what must travel with them."""

from dataclasses import dataclass, replace

from worker.frames import Planes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """One upright picture."""

    rgb: Planes  # (h, w, 3); invisible pixels carry the colour of the nearest visible one
    alpha: Planes | None = None  # (h, w), to be enlarged beside; None when the picture has no transparency
    is_grey: bool = False  # written with one channel again
    icc: bytes | None = None
    exif: bytes | None = None  # without the orientation
    format: str = "png"  # the one it came in, or the nearest we write
    notices: tuple[str, ...] = ()

    def with_pixels(self, rgb: Planes, alpha: Planes | None) -> "Picture":
        """The same picture with other pixels, such as enlarged ones."""
        assert (alpha is None) == (self.alpha is None)
        return replace(self, rgb=rgb, alpha=alpha)
