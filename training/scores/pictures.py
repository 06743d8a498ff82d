"""Drawings of several models beside the truth: sheets of crops, and strips that show time.

Pictures are (H, W, 3) uint8 RGB, clips (T, H, W, 3); titles come with them, the truth last. Not here: which
models and where to (compare.py).
"""

from collections.abc import Mapping
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
CROP: Final = (128, 160)  # height and width of one crop, shown twice enlarged
STRIP_ROWS: Final = 192  # of the picture, shown twice enlarged
FRAME_WIDTH: Final = 5  # shown pixels of one frame in a strip
VISIBLE_SIGMA: Final = 1.5  # the blur of the protocol
EDGE: Final = 16  # pixels at the sides where no column is taken, since what enters there is new to any model
GAP: Final = 6  # shown pixels between two columns
BAND: Final = 20  # shown pixels of a title


def crops(pictures: Mapping[str, Picture], count: int) -> Picture:
    """A column for each picture, and a row for each place where the truth has much detail; twice enlarged."""
    places = detailed_places(list(pictures.values())[-1], count)
    columns = {}
    for title, picture in pictures.items():
        cut = [picture[y : y + CROP[0], x : x + CROP[1]] for y, x in places]
        gap = np.zeros((GAP, 2 * cut[0].shape[1], 3), np.uint8)
        columns[title] = np.concatenate([part for crop in cut for part in (enlarge(crop, 2, 2), gap)][:-1])
    return side_by_side(columns)


def time_strips(clips: Mapping[str, Picture]) -> Picture:
    """What one column of pixels shows from frame to frame, for each clip.

    Time runs to the right. What stands still makes horizontal lines, what moves slanted ones; what flickers
    makes vertical stripes, and what drifts changes from left to right.
    """
    rows, x = telling_column(list(clips.values())[-1])
    strips = {
        title: enlarge(clip[:, rows, x].swapaxes(0, 1), 2, FRAME_WIDTH) for title, clip in clips.items()
    }
    return side_by_side(strips)


def detailed_places(picture: Picture, count: int) -> list[tuple[int, int]]:
    """(y, x) of at most so many crops that don't overlap, the strongest fine detail first."""
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    total = cv2.integral(np.abs(cv2.Laplacian(luma, cv2.CV_32F)))
    height, width = min(CROP[0], luma.shape[0]), min(CROP[1], luma.shape[1])
    found = (
        total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    )
    places: list[tuple[int, int]] = []
    while len(places) < count and found.max() >= 0:
        y, x = (int(i) for i in np.unravel_index(int(found.argmax()), found.shape))
        places.append((y, x))
        found[max(0, y - height + 1) : y + height, max(0, x - width + 1) : x + width] = -1
    return places


def telling_column(clip: Picture) -> tuple[slice, int]:
    """Rows and x of the column that changes most from row to row and least from frame to frame.

    Over time it makes lines, and whatever a model adds to those is seen. What is too fine for the low frames
    doesn't count: all models alike show a grey there.
    """
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) for frame in clip]
    luma = np.stack([cv2.GaussianBlur(frame, (0, 0), VISIBLE_SIGMA) for frame in grey])
    worth = np.abs(np.diff(luma, axis=1)).mean(0) - np.abs(np.diff(luma, axis=0)).mean(0)[1:]
    total = np.concatenate([np.zeros_like(worth[:1]), worth.cumsum(0)])  # (H, W)
    height = min(STRIP_ROWS, len(total))
    windows = total[height - 1 :] - total[: len(total) - height + 1]
    edge = min(EDGE, windows.shape[1] // 4)
    inner = windows[:, edge : windows.shape[1] - edge]
    y, x = (int(i) for i in np.unravel_index(int(inner.argmax()), inner.shape))
    return slice(y, y + height), x + edge


def enlarge(picture: Picture, down: int, across: int) -> Picture:
    return np.repeat(np.repeat(picture, down, axis=0), across, axis=1)


def side_by_side(columns: Mapping[str, Picture]) -> Picture:
    """Each under a dark band with its title, which so hides nothing."""
    shown: list[Picture] = []
    for title, column in columns.items():
        band = np.zeros((BAND, column.shape[1], 3), np.uint8)
        place = (4, BAND - 6)
        cv2.putText(band, title, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
        shown += [np.concatenate([band, column]), np.zeros((BAND + len(column), GAP, 3), np.uint8)]
    return np.concatenate(shown[:-1], axis=1)
