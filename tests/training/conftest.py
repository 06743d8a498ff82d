"""Tiny material that each test makes itself: two short shots, one of them held out, and a photograph."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
import torch

from tests.training.made import panning, shot_name, textured, write_frames


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("material")
    write_frames(root / shot_name(held_out=False), panning(6, 96, 96, 1))
    write_frames(root / shot_name(held_out=True), panning(5, 96, 96, 2))
    cv2.imwrite(str(root / "photo.png"), textured(120, 160, 3))
    return root
