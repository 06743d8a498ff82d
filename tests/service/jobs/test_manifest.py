"""The manifest beside each upload."""

import pytest
from pydantic import ValidationError

from service.errors import UnknownJob
from service.jobs import keys, manifest
from service.jobs.ids import new_job_id
from service.jobs.manifest import Manifest, Plan, Segment
from service.jobs.model import Job, Options
from service.jobs.states import JobEvent
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


def test_of_several_plans_the_first_stands(storage):
    manifest.save(storage, Manifest(job=JOB, idempotency_key="key"))
    found = manifest.load(storage, JOB.id)
    first = a_plan()
    assert manifest.settle_plan(storage, found, first) == first
    assert manifest.settle_plan(storage, found, a_plan().model_copy(update={"version": "other"})) == first
    assert manifest.load(storage, JOB.id) == Manifest(job=JOB, plan=first, idempotency_key="key")


def test_of_several_ends_the_first_stands_and_keeps_the_plan(storage):
    manifest.save(storage, Manifest(job=JOB, idempotency_key="key"))
    manifest.settle_plan(storage, manifest.load(storage, JOB.id), a_plan())
    failed, cancelled = JOB.after(JobEvent.FAIL, at=3.0), JOB.after(JobEvent.CANCEL, at=4.0)
    ended = Manifest(job=failed, plan=a_plan(), idempotency_key="key")
    assert manifest.settle_end(storage, failed) == ended
    assert manifest.settle_end(storage, cancelled) == ended
    assert manifest.load(storage, JOB.id) == manifest.load_end(storage, JOB.id) == ended


def test_an_end_that_a_former_version_wrote_over_its_manifest_stands(storage):
    failed = JOB.after(JobEvent.FAIL, at=3.0)
    manifest.save(storage, Manifest(job=failed))
    assert manifest.settle_end(storage, JOB.after(JobEvent.CANCEL, at=4.0)).job == failed


def test_an_end_whose_write_is_asked_for_again_is_ours(storage, monkeypatch):
    """The client of S3 repeats a request whose answer got lost, and hears that the object is there."""
    manifest.save(storage, Manifest(job=JOB))
    put_if_absent = storage.put_if_absent
    monkeypatch.setattr(storage, "put_if_absent", lambda *of: put_if_absent(*of) and put_if_absent(*of))
    failed = JOB.after(JobEvent.FAIL, at=3.0)
    assert manifest.settle_end(storage, failed).job == failed


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
    manifest.settle_end(storage, JOB.after(JobEvent.CANCEL, at=3.0))
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


@pytest.mark.parametrize(("pinned", "asked", "share"), [(60, None, 0.6), (None, 40, 0.4), (None, None, 1.0)])
def test_as_much_is_shown_as_was_planned_and_by_a_former_versions_plan_as_was_asked(pinned, asked, share):
    job = JOB.model_copy(update={"options": Options(strength=asked)})
    plan = a_plan().model_copy(update={"strength": pinned})
    assert Manifest(job=job, plan=plan).share == share
