"""Odd videos. Each function writes one to the path that it is given."""

from fractions import Fraction
from pathlib import Path

import av

from tests.worker.media.clips import Sound, make_clip

_PNG = bytes.fromhex(  # of one pixel
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c63600000000200014898e18d0000000049454e44ae426082"
)


def ten_milliseconds(path: Path) -> None:
    """Frames at whole hundredths of a second, some of them next to each other."""
    times = [0, 10, 20, 40, 50, 90, 100, 250, 260, 270]
    make_clip(path, len(times), times=times, time_base=Fraction(1, 1000))


def negative_start(path: Path) -> None:
    """The first two frames lie before zero; a container that can't say so has them moved by its muxer."""
    make_clip(path, 12, times=range(-80, 400, 40), time_base=Fraction(1, 1000), options={"bf": "0"},
              container_options={"avoid_negative_ts": "disabled"})  # fmt: skip


def edit_list(path: Path) -> None:
    """A player begins in the middle of a group: at the tenth of thirty frames."""
    whole = make_clip(path.with_name("whole.mp4"), 30, options={"bf": "0", "g": "30"})
    with av.open(str(whole)) as given, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                assert packet.pts is not None
                assert packet.dts is not None
                packet.pts, packet.dts = packet.pts - 10 * 512, packet.dts - 10 * 512
                packet.stream = stream
                output.mux(packet)


def hundred_tracks(path: Path) -> None:
    make_clip(path, 5, sound=[Sound(codec="libopus", layout="mono", seconds=0.1) for _ in range(99)])


def timecode(path: Path) -> None:
    make_clip(path, 10, tags={"timecode": "01:00:00:00"}, sound=[Sound()])


def attached_picture(path: Path) -> None:
    make_clip(path, 10, cover=_PNG)


def turned_and_odd(path: Path) -> None:
    make_clip(path, 10, width=97, height=65, pix_fmt="yuv444p", rotation=90)


def sized(path: Path, width: int, height: int) -> None:
    make_clip(path, 3, codec="ffv1", pix_fmt="bgr0", width=width, height=height)


def filmed_somewhere(path: Path) -> None:
    make_clip(path, 10, tags={"location": "+52.5200+013.4050/", "title": "kept"})
