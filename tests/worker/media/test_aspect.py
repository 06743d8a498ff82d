"""The display size in Matroska, as its readers see it."""

from fractions import Fraction

import av
import pytest

from tests.worker.media.clips import Sound, make_clip
from tests.worker.media.enlarged import enlarge, packets_of, shown_s


@pytest.mark.parametrize("codec", ["h264", "ffv1"])
@pytest.mark.parametrize(
    "sar", [Fraction(16, 15), Fraction(10, 11), Fraction(64, 45), Fraction(4, 3), Fraction(1, 2)]
)
def test_the_container_tells_the_aspect_exactly_and_nothing_else_changes(tmp_path, codec, sar):
    clip = make_clip(tmp_path / "clip.mp4", 5, sar=sar, sound=[Sound()], rotation=90)
    result = enlarge(clip, codec=codec, container="mkv")
    with av.open(str(result.path)) as opened:
        stream = opened.streams.video[0]
        assert stream.sample_aspect_ratio == sar
        assert "title" not in stream.metadata
        assert next(opened.decode(video=0)).rotation == 90
    assert len(shown_s(result.path)) == 5
    assert len(packets_of(result.path, "audio")[0]) == 48
    assert b"\x7f" * 20 not in result.path.read_bytes()[:4096]


def test_the_name_of_the_track_is_kept(tmp_path):
    plain = make_clip(tmp_path / "plain.mkv", 3, sar=Fraction(4, 3))
    clip = tmp_path / "clip.mkv"
    with av.open(str(plain)) as origin, av.open(str(clip), "w") as output:
        video = output.add_stream_from_template(origin.streams.video[0])
        video.metadata["title"] = "The long road of 127 letters" * 5
        for packet in origin.demux(video=0):
            if packet.size:
                packet.stream = video
                output.mux(packet)
    with av.open(str(enlarge(clip, container="mkv").path)) as opened:
        assert opened.streams.video[0].metadata["title"] == "The long road of 127 letters" * 5
        assert opened.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
