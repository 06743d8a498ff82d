"""A pack holds the material in one file of bounded size."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.made import panning, shot_name, textured
from training.pack import read_pack, unpack_weights, write_pack
from training.sources import load_library, pack_folder


def test_pack_reads_back_as_the_library_it_was_made_of(material: Path, tmp_path: Path) -> None:
    file, weights = tmp_path / "pack.npz", tmp_path / "warm.safetensors"
    weights.write_bytes(b"weights, byte for byte")
    pack_folder(material, file, [weights], bytes_max=2_000_000)
    library = load_library(file)
    assert [clip.name for clip in library.clips] == [shot_name(held_out=False)]
    assert [clip.name for clip in library.held_out] == [shot_name(held_out=True)]
    assert library.clips[0].frames.shape == (6, 96, 96, 3)
    error = library.clips[0].frames.astype(int) - panning(6, 96, 96, 1)
    assert np.sqrt((error**2).mean()) < 12  # lossy, yet the same picture
    assert library.photos[0].shape == (120, 160, 3)
    (tmp_path / "out").mkdir()
    (out,) = unpack_weights(file, tmp_path / "out")
    assert out.read_bytes() == b"weights, byte for byte"


def test_pack_stays_within_its_bound_by_dropping_last_frames(tmp_path: Path) -> None:
    frames = panning(12, 64, 64, 0)
    whole = write_pack(tmp_path / "whole.npz", [("a", frames)], [], [], bytes_max=10_000_000)
    bound = (tmp_path / "whole.npz").stat().st_size // 2
    kept = write_pack(tmp_path / "half.npz", [("a", frames)], [], [], bytes_max=bound)
    assert whole == 12
    assert 2 <= kept < 12
    assert (tmp_path / "half.npz").stat().st_size <= bound
    ((_, found),), _ = read_pack(tmp_path / "half.npz")
    assert len(found) == kept


def test_bound_too_small_for_the_photographs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too few"):
        write_pack(
            tmp_path / "p.npz", [("a", panning(3, 64, 64, 0))], [textured(64, 64, 0)], [], bytes_max=1000
        )
    assert not (tmp_path / "p.npz").exists()


def test_large_frames_are_halved(tmp_path: Path) -> None:
    write_pack(
        tmp_path / "p.npz", [("a", np.zeros((2, 360, 640, 3), np.uint8))], [], [], bytes_max=10_000_000
    )
    ((_, found),), _ = read_pack(tmp_path / "p.npz")
    assert found.shape == (2, 180, 320, 3)
