"""Pictures in and out: what is kept, what is converted with a notice, what is refused by type."""

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from service.errors import BrokenMedia, EmptyUpload, FrameTooLarge, InvalidOption, NotMedia, UnsupportedMedia
from service.formats import FORMATS, suffix_of
from worker.frames import Planes
from worker.media.pictures.picture import Picture
from worker.media.pictures.reading import read_image
from worker.media.pictures.writing import check_output, write_image

PIXELS_MAX = 1_000_000
LOSSLESS = ("png", "tiff", "bmp")


def smooth(h: int = 24, w: int = 32) -> Planes:
    """A gradient that lossy formats keep well, different in each channel and along each axis."""
    y, x = np.mgrid[0:h, 0:w]
    return np.stack([x * 255 // (w - 1), y * 255 // (h - 1), (x + y) * 255 // (h + w - 2)], -1).astype(
        np.uint8
    )


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("kind", FORMATS["image"])
def test_every_format_comes_back_as_itself_with_its_pixels(tmp_path, kind):
    source = save(tmp_path / f"in{suffix_of(kind)}", Image.fromarray(smooth()))
    picture = read_image(source, pixels_max=PIXELS_MAX)
    out = tmp_path / f"out{suffix_of(kind)}"

    notices = write_image(picture, out)

    assert (picture.format, picture.alpha, picture.notices, notices) == (kind, None, (), ())
    with Image.open(out) as image:
        assert (image.format, image.mode) == (kind.upper(), "RGB")
        difference = np.abs(np.asarray(image).astype(int) - smooth())
    assert difference.mean() <= (0 if kind in LOSSLESS else 4)  # WebP halves the colour planes


@pytest.mark.parametrize(
    ("head", "error"),
    [
        (b"", EmptyUpload),
        (b"just some text", NotMedia),
        (b"\x00\x00\x00\x18ftypmp42", UnsupportedMedia),  # a video
        (b"BMX is a sport, not a picture", BrokenMedia),
    ],
)
def test_what_is_no_picture_is_refused_whatever_its_name(tmp_path, head, error):
    (tmp_path / "x.png").write_bytes(head)
    with pytest.raises(error):
        read_image(tmp_path / "x.png", pixels_max=PIXELS_MAX)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff"])
def test_orientation_is_applied_to_the_pixels_and_its_tag_removed(tmp_path, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker"
    stored = smooth(16, 32)
    source = save(tmp_path / f"in{suffix_of(kind)}", Image.fromarray(stored), exif=exif)
    upright = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1),
        7: stored[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(stored),
    }[orientation]

    picture = read_image(source, pixels_max=PIXELS_MAX)
    write_image(picture, tmp_path / f"out{suffix_of(kind)}")

    assert picture.rgb.shape == upright.shape
    assert np.abs(picture.rgb.astype(int) - upright).mean() < 4
    with Image.open(tmp_path / f"out{suffix_of(kind)}") as image:
        assert image.size == upright.shape[1::-1]
        assert image.getexif().get(0x0112, 1) == 1
        if kind != "tiff":
            assert image.getexif()[0x010F] == "Maker"


@pytest.mark.parametrize("kind", ["png", "webp", "tiff"])
def test_alpha_is_a_plane_of_its_own_and_comes_back(tmp_path, kind):
    alpha = np.tile(np.linspace(1, 255, 32).astype(np.uint8), (24, 1))
    source = tmp_path / f"in{suffix_of(kind)}"
    options = {"lossless": True, "exact": True} if kind == "webp" else {}
    Image.fromarray(np.dstack([smooth(), alpha])).save(source, **options)

    picture = read_image(source, pixels_max=PIXELS_MAX)
    write_image(picture, tmp_path / f"out{suffix_of(kind)}", quality=100)

    assert np.array_equal(picture.rgb, smooth())
    assert np.array_equal(picture.alpha, alpha)
    with Image.open(tmp_path / f"out{suffix_of(kind)}") as image:
        assert np.array_equal(np.asarray(image), np.dstack([smooth(), alpha]))


def test_invisible_pixels_take_the_colour_of_the_nearest_visible_one(tmp_path):
    """Guards against a dark rim: editors leave black under transparent pixels."""
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[:, :4] = (200, 10, 10, 255)
    source = save(tmp_path / "in.png", Image.fromarray(rgba))

    picture = read_image(source, pixels_max=PIXELS_MAX)

    assert np.unique(picture.rgb.reshape(-1, 3), axis=0).tolist() == [[200, 10, 10]]
    assert np.array_equal(picture.alpha, rgba[..., 3])


@pytest.mark.parametrize("mode", ["jpeg", "bmp"])
def test_alpha_is_laid_on_white_with_a_notice_where_the_format_has_none(tmp_path, mode):
    clear = np.zeros((8, 8, 4), np.uint8)
    picture = read_image(save(tmp_path / "in.png", Image.fromarray(clear)), pixels_max=PIXELS_MAX)

    notices = write_image(picture, tmp_path / "out", kind=mode)

    assert any("transparency" in notice for notice in notices)
    with Image.open(tmp_path / "out") as image:
        assert np.asarray(image.convert("RGB")).min() == 255


def test_a_palette_with_a_transparent_entry_becomes_colour_and_alpha(tmp_path):
    image = Image.new("P", (4, 2), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((3, 1), 1)
    source = save(tmp_path / "in.png", image, transparency=1)

    picture = read_image(source, pixels_max=PIXELS_MAX)

    assert picture.rgb[0, 0].tolist() == [255, 0, 0]
    assert picture.alpha[0, 0] == 255
    assert picture.alpha[1, 3] == 0


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_grey_stays_grey(tmp_path, mode):
    source = save(tmp_path / "in.png", Image.fromarray(smooth()).convert(mode))
    picture = read_image(source, pixels_max=PIXELS_MAX)
    write_image(picture, tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as image, Image.open(source) as original:
        assert image.mode == ("LA" if mode == "LA" else "L")
        assert np.array_equal(np.asarray(image), np.asarray(original.convert(image.mode)))


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff"])
def test_the_icc_profile_is_kept_byte_for_byte(tmp_path, kind):
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    source = save(tmp_path / f"in{suffix_of(kind)}", Image.fromarray(smooth()), icc_profile=icc)
    write_image(read_image(source, pixels_max=PIXELS_MAX), tmp_path / f"out{suffix_of(kind)}")
    with Image.open(tmp_path / f"out{suffix_of(kind)}") as image:
        assert image.info["icc_profile"] == icc


def test_cmyk_is_converted_with_a_notice_and_without_its_profile(tmp_path):
    source = save(
        tmp_path / "in.jpg", Image.fromarray(smooth()).convert("CMYK"), icc_profile=b"not a profile"
    )
    picture = read_image(source, pixels_max=PIXELS_MAX)
    assert any("CMYK" in notice for notice in picture.notices)
    assert picture.icc is None
    assert np.abs(picture.rgb.astype(int) - smooth()).mean() < 4


def deep_noise(channels):
    return np.random.default_rng(channels).integers(0, 65_536, (33, 45, channels)).astype(np.uint16)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_are_read_and_written_as_they_are(tmp_path, suffix, channels):
    deep = deep_noise(channels)
    deep[..., -1] |= 1  # no pixel is quite invisible, so none takes another's colour
    blue_first = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    source, copy = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    cv2.imwrite(str(source), deep[..., blue_first])
    picture = read_image(source, pixels_max=PIXELS_MAX)
    assert picture.notices == write_image(picture, copy) == ()
    assert picture.is_grey == (channels == 1)
    assert np.array_equal(picture.rgb, np.repeat(deep, 3, 2) if channels == 1 else deep[..., :3])
    assert picture.alpha is None or np.array_equal(picture.alpha, deep[..., 3])
    assert np.array_equal(np.atleast_3d(cv2.imread(str(copy), cv2.IMREAD_UNCHANGED)), deep[..., blue_first])
    again = read_image(copy, pixels_max=PIXELS_MAX)
    assert np.array_equal(again.rgb, picture.rgb)
    assert (again.alpha is None) == (channels < 4)


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_a_deep_picture_keeps_its_profile_and_a_png_its_exif(tmp_path, kind):
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F] = "maker"
    picture = Picture(rgb=deep_noise(3), icc=icc, exif=exif.tobytes(), format=kind)
    path = tmp_path / f"out{suffix_of(kind)}"
    write_image(picture, path)
    with Image.open(path) as image:
        image.load()
        assert image.info["icc_profile"] == icc
        assert kind == "tiff" or image.getexif()[0x010F] == "maker"
    again = read_image(path, pixels_max=PIXELS_MAX)
    assert again.icc == icc
    assert np.array_equal(again.rgb, picture.rgb)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_deep_picture_is_set_upright_as_one_of_eight_bits(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain = (deep_noise(3) >> 8).astype(np.uint8)
    save(tmp_path / "plain.png", Image.fromarray(plain), exif=exif)
    deep = Picture(rgb=plain.astype(np.uint16) * 257, exif=exif.tobytes())
    write_image(deep, tmp_path / "deep.png")
    wanted = read_image(tmp_path / "plain.png", pixels_max=PIXELS_MAX).rgb
    found = read_image(tmp_path / "deep.png", pixels_max=PIXELS_MAX)
    assert found.rgb.dtype == np.uint16
    assert np.array_equal(found.rgb, wanted.astype(np.uint16) * 257)


@pytest.mark.parametrize("kind", ["jpeg", "webp", "bmp"])
def test_formats_of_eight_bits_get_eight_with_a_notice(tmp_path, kind):
    deep = smooth().astype(np.uint16) * 257
    notices = write_image(Picture(rgb=deep), tmp_path / f"out{suffix_of(kind)}", kind=kind)
    assert any("reduced to 8" in notice for notice in notices)
    again = read_image(tmp_path / f"out{suffix_of(kind)}", pixels_max=PIXELS_MAX)
    assert np.abs(again.rgb.astype(int) - smooth()).mean() < 3


def test_sixteen_bits_of_cmyk_are_reduced_with_a_notice(tmp_path):
    """What OpenCV reads as other colours than Pillow is left to Pillow."""
    entries = {256: 4, 257: 4, 262: 5, 277: 4, 273: 200, 278: 4, 279: 4 * 4 * 8}
    tags = [(tag, 4, 1, value) for tag, value in entries.items()] + [(258, 3, 4, 190)]
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
    head += b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags)) + bytes(4)
    path = tmp_path / "in.tif"
    content = bytearray(200 + 4 * 4 * 8)
    content[: len(head)] = head
    content[190:198] = struct.pack("<4H", 16, 16, 16, 16)
    content[200:] = np.full((4, 4, 4), 20_000, "<u2").tobytes()
    path.write_bytes(content)
    picture = read_image(path, pixels_max=PIXELS_MAX)
    assert picture.rgb.dtype == np.uint8
    assert any("16 bits" in notice for notice in picture.notices)


def test_floating_point_samples_are_refused_by_name(tmp_path):
    source = save(tmp_path / "in.tif", Image.fromarray(np.ones((4, 4), np.float32)))
    with pytest.raises(UnsupportedMedia) as caught:
        read_image(source, pixels_max=PIXELS_MAX)
    assert caught.value.value == "F"


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_animation_and_pages_are_refused(tmp_path, suffix):
    frames = [Image.fromarray(smooth()), Image.fromarray(smooth()[::-1].copy())]
    source = save(tmp_path / f"in.{suffix}", frames[0], save_all=True, append_images=frames[1:])
    with pytest.raises(UnsupportedMedia, match="stills"):
        read_image(source, pixels_max=PIXELS_MAX)


def test_a_still_gif_leaves_as_png_with_a_notice(tmp_path):
    source = save(tmp_path / "in.gif", Image.fromarray(smooth()))
    picture = read_image(source, pixels_max=PIXELS_MAX)
    assert picture.format == "png"
    assert any("GIF" in notice for notice in picture.notices)


def huge_png() -> bytes:
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    )


def huge_bmp() -> bytes:
    return (
        b"BM"
        + struct.pack("<IHHI", 54, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, 100_000, 100_000, 1, 24, 0, 0, 0, 0, 0, 0)
    )


@pytest.mark.parametrize("data", [huge_png(), huge_bmp()], ids=["png", "bmp"])
def test_a_huge_declared_size_is_refused_before_decoding(tmp_path, data):
    (tmp_path / "in").write_bytes(data)
    with pytest.raises(FrameTooLarge) as caught:
        read_image(tmp_path / "in", pixels_max=PIXELS_MAX)
    assert caught.value.value == "100000x100000"


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow also warns of a truncated TIFF
@pytest.mark.parametrize("kind", FORMATS["image"])
@pytest.mark.parametrize("kept", [0.2, 0.9])
def test_a_truncated_picture_is_broken_media(tmp_path, kind, kept):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    whole = io.BytesIO()
    Image.fromarray(noise).save(whole, format=kind)
    (tmp_path / "in").write_bytes(whole.getvalue()[: int(len(whole.getvalue()) * kept)])
    with pytest.raises(BrokenMedia):
        read_image(tmp_path / "in", pixels_max=PIXELS_MAX)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", FORMATS["image"])
def test_mangled_bytes_never_raise_anything_untyped(tmp_path, kind):
    whole = io.BytesIO()
    Image.fromarray(smooth(), "RGB").save(whole, format=kind)
    random = np.random.default_rng(1)
    for _ in range(100):
        data = bytearray(whole.getvalue())
        for place in random.integers(16, len(data), 4):
            data[place] = random.integers(0, 256)
        (tmp_path / "in").write_bytes(data)
        try:
            read_image(tmp_path / "in", pixels_max=PIXELS_MAX)
        except (BrokenMedia, FrameTooLarge, UnsupportedMedia):
            continue


def test_what_a_format_cannot_hold_is_refused_before_work_is_done():
    check_output("png", 20_000, 10)
    with pytest.raises(InvalidOption, match="16383"):
        check_output("webp", 20_000, 10)
    with pytest.raises(InvalidOption, match="heic"):
        check_output("heic", 10, 10)


def test_a_failed_write_leaves_neither_the_file_nor_a_piece_of_it(tmp_path):
    picture = read_image(save(tmp_path / "in.png", Image.fromarray(smooth())), pixels_max=PIXELS_MAX)
    with pytest.raises(ValueError, match="quality"):
        write_image(picture, tmp_path / "out.jpg", kind="jpeg", quality="poor")
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]
