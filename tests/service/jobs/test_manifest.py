"""The manifest beside each upload."""

import pytest
from pydantic import ValidationError

from service.errors import UnknownJob
from service.jobs import keys, manifest
from service.jobs.manifest import Manifest, Plan, Segment
from service.jobs.model import Job, Options, new_job_id
from service.objects.files import FileStorage

JOB = Job(
    id=new_job_id(),
    kind="video",
    options=Options(scale=2),
    filename="clip.mp4",
    size_bytes=1,
    sha256="ab" * 32,
    created_at=1.25,
    updated_at=2.5,
)


def a_plan(*segments):
    return Plan(
        kind="video",
        source={"codec": "h264"},
        timeline={"times": [0, 512, 1024]},
        segments=segments or (Segment(index=0, frame_start=0, frame_stop=3),),
        model="bicubic",
        version="0123456789abcdef",
        backend="torch",
        precision="float32",
        codec="h264",
        container="mp4",
    )


@pytest.fixture
def storage(tmp_path):
    return FileStorage(tmp_path)


@pytest.mark.parametrize("plan", [None, a_plan()])
def test_a_manifest_comes_back_as_it_was_saved(storage, plan):
    saved = Manifest(job=JOB, plan=plan, idempotency_key="key")
    manifest.save(storage, saved)
    assert manifest.load(storage, JOB.id) == saved


def test_a_missing_manifest_is_an_unknown_job(storage):
    with pytest.raises(UnknownJob):
        manifest.load(storage, JOB.id)


def test_a_forgotten_job_leaves_nothing(storage):
    storage.put(keys.input_key(JOB.id), b"upload")
    storage.put(keys.part_key(JOB.id, 0, 1), b"part")
    manifest.save(storage, Manifest(job=JOB))
    manifest.forget(storage, JOB.id)
    assert list(storage.list("")) == []


def test_the_manifest_goes_first_when_a_job_is_forgotten(storage, monkeypatch):
    """Guards against a rebuild that finds the manifest of a half deleted job and brings it back."""
    manifest.save(storage, Manifest(job=JOB))
    left = []
    monkeypatch.setattr(storage, "delete_prefix", lambda prefix: left.extend(storage.list(prefix)))
    manifest.forget(storage, JOB.id)
    assert left == []


@pytest.mark.parametrize(
    "segments",
    [
        [Segment(index=0, frame_start=1, frame_stop=3)],
        [Segment(index=1, frame_start=0, frame_stop=3)],
        [Segment(index=0, frame_start=0, frame_stop=0)],
        [Segment(index=0, frame_start=0, frame_stop=3, follows=0)],
        [Segment(index=0, frame_start=0, frame_stop=3), Segment(index=1, frame_start=4, frame_stop=5)],
        [Segment(index=0, frame_start=0, frame_stop=3), Segment(index=1, frame_start=2, frame_stop=5)],
        [
            Segment(index=0, frame_start=0, frame_stop=1),
            Segment(index=1, frame_start=1, frame_stop=2),
            Segment(index=2, frame_start=2, frame_stop=3, follows=0),
        ],
    ],
)
def test_a_plan_covers_every_frame_once_and_chains_neighbours(segments):
    with pytest.raises(ValidationError):
        a_plan(*segments)


def test_keys_tell_their_segment_and_fence():
    assert keys.segment_and_fence(keys.part_key("x", 12, 1763866842)) == (12, 1763866842)
    assert keys.segment_and_fence(keys.state_key("x", 0, 3)) == (0, 3)
