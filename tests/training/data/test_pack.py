"""A pack holds the material in one file of bounded size."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save_file

from tests.training.made import panning, random_heads, random_vgg, shot_name, textured
from training.__main__ import main
from training.data.pack import read_pack, unpack_weights, write_pack
from training.data.sources import load_library, pack_folder
from training.losses.perceptual import VGG16, VGG_TAKEN_AFTER, cut_vgg, shapes


def test_pack_reads_back_as_the_library_it_was_made_of(material: Path, tmp_path: Path) -> None:
    file = tmp_path / "pack.npz"
    pack_folder(material, file, {"vgg.safetensors": b"weights, byte for byte"}, bytes_max=2_000_000)
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
    whole = write_pack(tmp_path / "whole.npz", [("a", frames)], [], {}, bytes_max=10_000_000)
    bound = (tmp_path / "whole.npz").stat().st_size // 2
    kept = write_pack(tmp_path / "half.npz", [("a", frames)], [], {}, bytes_max=bound)
    assert whole == 12
    assert 2 <= kept < 12
    assert (tmp_path / "half.npz").stat().st_size <= bound
    ((_, found),), _ = read_pack(tmp_path / "half.npz")
    assert len(found) == kept


def test_photographs_leave_half_of_the_room_to_clips(tmp_path: Path) -> None:
    """Guards against a small pack in which a hundred photographs leave each clip no frame to move to."""
    photos = [textured(96, 96, index) // 2 + np.uint8(14 * index) for index in range(9)]
    frames = panning(12, 64, 64, 0)
    write_pack(tmp_path / "all.npz", [("a", frames)], photos, {}, bytes_max=10_000_000)
    bound = (tmp_path / "all.npz").stat().st_size // 2
    kept = write_pack(tmp_path / "p.npz", [("a", frames)], photos, {}, bytes_max=bound)
    _, found = read_pack(tmp_path / "p.npz")
    assert (tmp_path / "p.npz").stat().st_size <= bound
    assert 2 <= kept < 12
    assert 2 <= len(found) < 9
    assert found[0].mean() + 60 < found[-1].mean()  # from all along the list, which grows brighter
    write_pack(tmp_path / "photos.npz", [], photos, {}, bytes_max=10_000_000)
    assert len(read_pack(tmp_path / "photos.npz")[1]) == 9


def test_bound_too_small_for_two_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too few"):
        write_pack(
            tmp_path / "p.npz", [("a", panning(3, 64, 64, 0))], [textured(64, 64, 0)], {}, bytes_max=1000
        )
    assert not (tmp_path / "p.npz").exists()


def test_large_frames_are_halved(tmp_path: Path) -> None:
    write_pack(
        tmp_path / "p.npz", [("a", np.zeros((2, 360, 640, 3), np.uint8))], [], {}, bytes_max=10_000_000
    )
    ((_, found),), _ = read_pack(tmp_path / "p.npz")
    assert found.shape == (2, 180, 320, 3)


def test_pack_brings_all_that_a_perceptual_run_needs(
    material: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a bare machine there is no folder to name: the loss's network must be found inside."""
    weights, pack = random_vgg(), tmp_path / "pack.npz"
    unused = {"classifier.0.weight": torch.zeros(512).half()}
    save_file(weights | unused, tmp_path / VGG16.features_file)
    save_file(random_heads(), tmp_path / VGG16.heads_file)
    command = ["pack", "--data", str(material), "--max-mb", "31", "--out", str(pack)]
    assert main([*command, "--perceptual", str(tmp_path)]) == 0
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    features, heads = unpack_weights(pack, unpacked)
    assert (features.name, heads.name) == (VGG16.features_file, VGG16.heads_file)
    assert heads.read_bytes() == (tmp_path / VGG16.heads_file).read_bytes()
    found = load(features.read_bytes())
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    for name in (VGG16.features_file, VGG16.heads_file):
        (tmp_path / name).unlink()
    small = {
        "features": 8, "blocks": 1, "batch": 1, "frames": 3, "crop": 16, "iterations": 1, "photo-share": 0,
        "precision": "fp32",
    }  # fmt: skip
    keys = [part for key, value in small.items() for part in (f"--{key}", str(value))]
    run = ["train", "--preset", "real_lite", "--data", str(pack), "--out", str(tmp_path / "run"), *keys]
    monkeypatch.chdir(tmp_path)
    assert main(run) == 0
    assert '"vgg": ' in (tmp_path / "run" / "log.jsonl").read_text()
    assert not list((tmp_path / "run").rglob(VGG16.features_file))  # or it would travel back with every state


def test_pack_takes_the_network_in_half_precision_where_there_are_no_heads(tmp_path: Path) -> None:
    save_file(random_vgg(), tmp_path / VGG16.features_file)
    (content,) = cut_vgg(tmp_path).values()
    assert load(content).keys() == shapes(VGG16, VGG_TAKEN_AFTER["cosine"]).keys()
    assert len(content) < 30e6
