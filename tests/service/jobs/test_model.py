"""Records of a job, and its id."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.errors import BrokenMedia, CheckpointInvalid, InvalidOption, StorageUnavailable, TooManyAttempts
from service.jobs.ids import created_at_of, id_bound, new_job_id
from service.jobs.model import FAULT_MESSAGE, Handling, Job, JobError, Options


def a_job(**changes):
    fields = {
        "id": new_job_id(),
        "kind": "video",
        "filename": "clip.mp4",
        "size_bytes": 1,
        "sha256": "ab" * 32,
        "created_at": 1.0,
        "updated_at": 1.0,
    }
    return Job(**{**fields, **changes})


@given(st.lists(st.integers(0, 2**41), min_size=2, max_size=5, unique=True))
def test_ids_sort_by_age_and_tell_it(times_ms):
    ids = {new_job_id(lambda ms=ms: ms / 1000): ms / 1000 for ms in times_ms}
    assert [ids[job_id] for job_id in sorted(ids)] == sorted(ids.values())
    for job_id, time_s in ids.items():
        assert created_at_of(job_id) == pytest.approx(time_s, abs=0.002)


def test_ids_can_stand_in_urls_and_are_all_different():
    ids = {new_job_id(lambda: 1e9) for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch("[0-9a-v]{36}", job_id) for job_id in ids)


@pytest.mark.parametrize("text", ["", "x", "zz" * 18, "a" * 32, "../../etc"])
def test_what_is_no_id_has_no_age(text):
    with pytest.raises(ValueError, match=r".*"):
        created_at_of(text)


def test_the_digest_of_a_request_follows_its_bytes_and_options_only():
    job = a_job()
    assert a_job(filename="other.mp4").request_digest() == job.request_digest()
    assert a_job(sha256="cd" * 32).request_digest() != job.request_digest()
    assert a_job(options=Options(scale=2)).request_digest() != job.request_digest()
    assert a_job(handling=Handling(metadata={"a": "b"})).request_digest() != job.request_digest()


@given(st.integers(0, 2**41), st.integers(0, 2**41))
def test_a_bound_lies_before_the_ids_of_its_time_and_behind_older_ones(time_ms, bound_ms):
    job_id = new_job_id(lambda: time_ms / 1000)
    assert (job_id >= id_bound(bound_ms / 1000)) == (
        int(time_ms / 1000 * 1000) >= int(bound_ms / 1000 * 1000)
    )


@pytest.mark.parametrize(
    "metadata",
    [
        {"": "a"},
        {"a b": "c"},
        {"a" * 41: "b"},
        {"a": "b" * 257},
        {"a": 1},
        dict.fromkeys(map(str, range(17)), ""),
    ],
)
def test_metadata_are_few_short_texts_under_plain_names(metadata):
    with pytest.raises(ValidationError):
        Handling(metadata=metadata)


@pytest.mark.parametrize(
    "options",
    [
        {"scale": 5},
        {"scale": 1},
        {"size": "16k"},
        {"height": 0},
        {"width": 70_000},
        {"codec": "gif"},
        {"quality": 0},
        {"quality": 101},
        {"start": -1},
        {"duration": 0},
        {"start": float("nan")},
        {"duration": float("inf")},
        {"colour": "red"},
        {"model": ""},
    ],
)
def test_options_nobody_can_mean_are_refused(options):
    with pytest.raises(ValidationError):
        Options(**options)


@pytest.mark.parametrize(
    ("kind", "options", "field"),
    [
        ("image", {"codec": "h264"}, "codec"),
        ("image", {"start": 0}, "start"),
        ("image", {"duration": 1}, "duration"),
        ("image", {"format": "mp4"}, "format"),
        ("video", {"format": "png"}, "format"),
        ("video", {"height": 721}, "height"),
        ("video", {"width": 721}, "width"),
        ("image", {"scale": 2, "height": 720}, "scale"),
        ("image", {"size": "4k", "width": 720}, "size"),
        ("video", {"format": "mp4", "codec": "ffv1"}, "format"),
        ("video", {"format": "webm", "codec": "h264"}, "format"),
        ("video", {"format": "mov", "codec": "av1"}, "format"),
        ("animation", {"format": "mp4", "codec": "prores"}, "format"),
    ],
)
def test_options_that_do_not_fit_the_input_or_each_other_are_refused_by_name(kind, options, field):
    with pytest.raises(InvalidOption) as caught:
        Options(**options).check_fit(kind)
    assert (caught.value.field, caught.value.value) == (field, options[field])


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("image", {"format": "tiff", "quality": 3, "scale": 2}),
        ("video", {"format": "mkv", "codec": "ffv1"}),
        ("video", {"codec": "ffv1", "start": 1, "duration": 2}),
        ("video", {"codec": "av1", "format": "webm"}),
        ("video", {"codec": "prores", "format": "mov"}),
        ("video", {}),
        ("video", {"size": "8k"}),
        ("video", {"width": 1920, "height": 1080}),
        ("image", {"height": 721, "scale": 4}),  # 4 is what no scale at all means
    ],
)
def test_options_that_fit_are_taken(kind, options):
    Options(**options).check_fit(kind)


def test_a_changed_job_is_checked_and_the_old_one_stays():
    job = a_job()
    assert job.with_changes(frames_total=3).frames_total == 3
    assert job.frames_total is None
    with pytest.raises(ValidationError):
        job.with_changes(frames_total="many")
    with pytest.raises(ValidationError):
        job.with_changes(colour="red")
    with pytest.raises(AssertionError):
        job.with_changes(state="failed")


def test_a_job_that_an_earlier_version_stored_still_loads():
    job = a_job()
    assert Job.model_validate({**job.model_dump(mode="json"), "expires_at": None}) == job


def test_public_errors_reach_the_owner_in_full():
    error = BrokenMedia("The file ends early.", field="file", value={"offset": 7})
    assert JobError.from_exception(error) == JobError(
        code="broken_media", message="The file ends early.", field="file", value="{'offset': 7}"
    )
    assert JobError.from_exception(TooManyAttempts("segment/3 was begun 4 times.")).message.startswith(
        "segment/3"
    )


@pytest.mark.parametrize(
    "error", [CheckpointInvalid("path /secret"), ValueError("/secret"), StorageUnavailable("host /secret")]
)
def test_inner_details_stay_inside(error):
    shown = JobError.from_exception(error)
    assert shown.message == FAULT_MESSAGE
    assert "secret" not in shown.model_dump_json()
