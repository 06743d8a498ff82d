"""The three steps of a job in one process: what they make, and what interrupts them."""

import errno
import io
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from model_core.checkpoint import load
from model_core.dis import DisFlow
from model_core.pixels import to_float, to_uint8
from model_core.recurrence import State, step
from service.errors import StorageUnavailable
from service.jobs import keys, manifest
from service.jobs.manifest import Manifest
from service.jobs.memory.store import MemoryStore
from service.jobs.model import Job, Options
from service.jobs.states import JobEvent, JobState
from service.jobs.steps import ABSENT_S
from service.jobs.store import FinishedPart
from service.objects.base import NotFound, OnChunk
from tests.worker.job.conftest import SEGMENT
from tests.worker.media.clips import make_clip, number_of
from worker.frames import HighFrame
from worker.job import held as held_module
from worker.job import preview, runner
from worker.job.context import WorkerContext, add_notices, read_notices
from worker.job.held import Held, LeaseLost
from worker.job.steps import assemble, plan, segment
from worker.job.steps.feeder import lead_in
from worker.media.reading.decode import decode
from worker.media.reading.probe import probe
from worker.media.reading.timeline import scan
from worker.media.types import Limits
from worker.offline import local
from worker.offline.local import LocalQueue

LIMITS = Limits(pixels_max=10**7, duration_s_max=3600)
FRAMES = 24
LOSSLESS = Options(model="small", codec="ffv1", format="mkv")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(
        tmp_path_factory.mktemp("clip") / "clip.mp4", FRAMES, width=72, height=48
    )  # rows padded in memory


def accept(context: WorkerContext, path: Path, options: Options = LOSSLESS) -> str:
    return local.accept(context, path, options).id


def run(context: WorkerContext, job_id: str) -> Job:
    """Until nothing is queued any more."""
    runner.run(context, job_id, "plan")
    return drain_queue(context, job_id)


def drain_queue(context: WorkerContext, job_id: str) -> Job:
    queue = context.queue
    assert isinstance(queue, LocalQueue)
    while queue.steps:
        runner.run(context, *queue.steps.popleft())
    return context.store.get(job_id)


def frames_of(path: Path) -> np.ndarray:
    source = probe(path, limits=LIMITS)
    timeline = scan(path, source, limits=LIMITS)
    return np.stack(list(decode(path, source, timeline, 0, timeline.frame_count)))


def result_frames(context: WorkerContext, job: Job, folder: Path) -> np.ndarray:
    assert job.state is JobState.SUCCEEDED, job.error
    assert job.result_key is not None
    context.storage.fetch(job.result_key, folder / "result.mkv")
    return frames_of(folder / "result.mkv")


def after_frames(monkeypatch: pytest.MonkeyPatch, count: int, act: Callable[[], object]) -> None:
    """Do something once, while the next frame after so many is being written."""
    written, reduced = itertools.count(1), segment.reduced

    def counting(high: HighFrame, size: tuple[int, int]) -> HighFrame:
        if next(written) == count + 1:
            act()
        return reduced(high, size)

    monkeypatch.setattr(segment, "reduced", counting)


def test_a_chain_of_segments_equals_one_pass_rounded_at_the_same_places(
    context: WorkerContext, clip: Path, tmp_path: Path
) -> None:
    job = run(context, accept(context, clip))
    low = frames_of(clip)
    model = load(tmp_path / "model").model
    dis = DisFlow(model.config.flow)
    lead = lead_in(model.config, FRAMES)
    order = [*range(lead, 0, -1), *range(FRAMES)]
    played = [to_float(torch.from_numpy(low[t])[None]) for t in order]
    state, wanted = State.clean(model.config, played[0]), []
    for at, t in enumerate(order):
        flow = dis(low[order[at - 1]], low[t]) if at else np.zeros((2, 48, 72), np.float32)
        with torch.inference_mode():
            ahead = played[at + 1] if at + 1 < len(played) else None
            state, high = step(model, state, played[at], torch.from_numpy(flow)[None], ahead=ahead)
        wanted.append(to_uint8(high)[0].numpy())
        if (t + 1) % SEGMENT == 0 and at >= lead:
            state = state.rounded()
    found = result_frames(context, job, tmp_path).astype(int)
    assert job.report is not None
    assert job.report["segments"] == FRAMES // SEGMENT
    apart = np.abs(found - np.stack(wanted[lead:]))
    assert apart.max() <= 1
    assert (apart > 0).mean() <= 0.001


def test_nothing_but_input_manifest_result_and_preview_is_left(context: WorkerContext, clip: Path) -> None:
    job = run(context, accept(context, clip))
    left = {
        key.removeprefix(keys.job_prefix(job.id)) for key in context.storage.list(keys.job_prefix(job.id))
    }
    assert left == {"input", "job.json", "ended.json", "preview.jpg", "preview-pair.jpg", "result-1.mkv"}
    assert list(context.scratch.iterdir()) == []
    assert manifest.load(context.storage, job.id).job.state is JobState.SUCCEEDED


def test_the_preview_of_a_finished_video_is_its_last_frame(
    context: WorkerContext, clip: Path, tmp_path: Path
) -> None:
    job = run(context, accept(context, clip))
    frames = result_frames(context, job, tmp_path)
    with Image.open(io.BytesIO(context.storage.get(keys.preview_key(job.id)))) as image:
        apart = np.abs(frames - np.asarray(image).astype(int)).mean((1, 2, 3))
    assert apart.argmin() == FRAMES - 1


def test_the_pair_of_a_finished_video_is_its_last_frame_as_it_came_and_as_it_became(
    context: WorkerContext, clip: Path
) -> None:
    job = run(context, accept(context, clip))
    with Image.open(io.BytesIO(context.storage.get(keys.pair_key(job.id)))) as image:
        before, after = np.split(np.asarray(image).astype(int), 2, axis=1)
    assert number_of(before) == number_of(after) == FRAMES - 1
    assert np.abs(before - after).mean() > 1, "one is the other"


def test_there_is_a_preview_before_progress_says_so(
    context: WorkerContext, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards against a link to a preview that is not there."""
    happened: list[str] = []
    advance, show = Held.advance, context.previews.show

    def noting_advance(held: Held, frame_count: int = 1) -> None:
        if frame_count:
            happened.append("advance")
        advance(held, frame_count)

    def noting_show(*args: Any, **options: Any) -> None:
        happened.append("show")
        show(*args, **options)

    monkeypatch.setattr(Held, "advance", noting_advance)
    monkeypatch.setattr(context.previews, "show", noting_show)
    run(context, accept(context, clip))
    assert happened == ["show", "advance"] * FRAMES


def test_a_job_without_previews_is_as_good_as_any(
    context: WorkerContext, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(preview, "small", broken)
    job = run(context, accept(context, clip))
    assert job.state is JobState.SUCCEEDED
    assert not context.storage.exists(keys.preview_key(job.id))


def test_work_given_back_in_mid_segment_goes_on_with_the_same_frames(
    context: WorkerContext, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = result_frames(context, run(context, accept(context, clip)), tmp_path)
    job_id = accept(context, clip)
    after_frames(monkeypatch, SEGMENT + 2, context.draining.set)
    assert run(context, job_id).state is JobState.RUNNING
    assert context.store.steps(job_id)["segment/0"].done
    assert not context.store.steps(job_id)["segment/1"].done
    successor = replace(context, draining=threading.Event())
    runner.run(successor, job_id, "segment/1")
    job = drain_queue(successor, job_id)
    assert np.array_equal(result_frames(context, job, tmp_path), undisturbed)
    assert job.report is not None
    assert job.report["attempts"] == 2 + FRAMES // SEGMENT


def test_a_cancelled_job_stops_between_two_frames_and_leaves_no_part(
    context: WorkerContext, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = accept(context, clip)

    def cancel() -> None:
        context.store.transition(job_id, JobEvent.CANCEL)
        time.sleep(20 * held_module.RENEW_S)  # the network is faster than news of the end

    after_frames(monkeypatch, 2, cancel)
    job = run(context, job_id)
    assert job.state is JobState.CANCELLED
    assert job.frames_done < SEGMENT
    assert list(context.scratch.iterdir()) == []


def assembling_again(context: WorkerContext, job_id: str) -> WorkerContext:
    """The same with a store that lost all that came after the last segment."""
    store = MemoryStore(lease_s=15, attempts_max=2)
    planned = manifest.load(context.storage, job_id).plan
    assert planned is not None
    job = context.store.get(job_id)
    parts = {
        index: FinishedPart(fence=1, part_key=keys.part_key(job_id, index, 1), state_key=None)
        for index in range(len(planned.segments))
    }
    lost = job.model_copy(update={"state": JobState.RUNNING, "report": None, "result_key": None})
    store.restore(lost, segments=planned.segments, parts=parts, fence_floor=9)
    return replace(context, store=store)


@pytest.mark.parametrize("step", ["assemble", "segment/0"])
def test_a_success_that_the_store_lost_is_no_failure_for_want_of_its_parts(
    context: WorkerContext, clip: Path, step: str
) -> None:
    done = run(context, accept(context, clip))
    context = assembling_again(context, done.id)
    if step != "assemble":
        context.store.delete(done.id)
        recorded = manifest.load(context.storage, done.id)
        assert recorded.plan is not None
        running = recorded.job.model_copy(update={"state": JobState.RUNNING})
        context.store.restore(running, segments=recorded.plan.segments, fence_floor=9)
    runner.run(context, done.id, step)
    job = context.store.get(done.id)
    assert (job.state, job.result_key, job.report) == (JobState.SUCCEEDED, done.result_key, done.report)
    assert job.result_key is not None
    assert context.storage.exists(job.result_key)


def test_a_plan_that_the_store_lost_stands(
    context: WorkerContext, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version may be the latest by now, or another worker may have planned meanwhile."""
    job_id = accept(context, clip)
    runner.run(replace(context, queue=LocalQueue()), job_id, "plan")
    planned = manifest.load(context.storage, job_id).plan
    store = MemoryStore(lease_s=15, attempts_max=2)
    store.create(context.store.get(job_id).model_copy(update={"state": JobState.QUEUED, "frames_done": 0}))
    monkeypatch.setattr(plan, "_make", lambda *_: pytest.fail("planned again"))
    again = replace(context, store=store)
    runner.run(again, job_id, "plan")
    assert drain_queue(again, job_id).state is JobState.SUCCEEDED
    assert manifest.load(context.storage, job_id).plan == planned


def test_a_result_that_is_ready_when_its_owner_cancels_is_not_told_twice(
    context: WorkerContext, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner is faster by a moment: the job is cancelled everywhere, and no result is left."""
    job_id = accept(context, clip)
    put_if_absent = context.storage.put_if_absent

    def slower(key: str, data: bytes) -> bool:
        if key == keys.ended_key(job_id) and b"succeeded" in data:
            cancelled = context.store.get(job_id).after(JobEvent.CANCEL, at=1.0)
            assert put_if_absent(key, Manifest(job=cancelled).model_dump_json().encode())
        return put_if_absent(key, data)

    monkeypatch.setattr(context.storage, "put_if_absent", slower)
    job = run(context, job_id)
    assert (job.state, job.result_key) == (JobState.CANCELLED, None)
    left = {key.rsplit("/", 1)[1] for key in context.storage.list(keys.job_prefix(job_id))}
    assert left == {"job.json", "ended.json"}


def test_a_worker_that_lost_its_lease_fails_no_job(
    context: WorkerContext, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one that was stopped for a while, and finds the state before its segment used and gone."""
    store = MemoryStore(lease_s=0.05, attempts_max=2)
    context = replace(context, store=store)
    job_id = accept(context, clip)
    taken: list[object] = []

    def late(*_: object) -> None:
        time.sleep(0.1)
        with store._lock:  # so that no renewal comes between
            taken.append(store.acquire(job_id, "plan", "another"))
        raise NotFound("the state is gone")

    monkeypatch.setattr(held_module, "RENEW_S", 10)
    monkeypatch.setitem(runner._WORK, "plan", late)  # type: ignore[arg-type]
    runner.run(context, job_id, "plan")
    assert taken[0] is not None
    assert store.get(job_id).state is JobState.QUEUED
    assert not context.storage.exists(keys.ended_key(job_id))


def test_a_plan_that_comes_late_leaves_the_job_to_whoever_plans_it_now(
    context: WorkerContext, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = accept(context, clip)
    lease = context.store.acquire(job_id, "plan", "slow")
    assert lease is not None
    slow = Held(context.store, lease, draining=threading.Event())
    set_segments = context.store.set_segments
    others = []

    def late(*given: object) -> bool:
        with context.store._lock:  # type: ignore[attr-defined]
            record = context.store._entries[job_id].steps  # type: ignore[attr-defined]
            record["plan"] = replace(record["plan"], expires_at=0.0)
            others.append(context.store.acquire(job_id, "plan", "another"))
        return set_segments(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(context.store, "set_segments", late)
    with pytest.raises(LeaseLost):
        plan.plan(context, slow)
    assert context.store.get(job_id).state is JobState.PLANNING
    monkeypatch.setattr(context.store, "set_segments", set_segments)
    (other,) = others
    assert other is not None
    plan.plan(context, Held(context.store, other, draining=threading.Event()))
    assert context.store.get(job_id).state is JobState.RUNNING


def test_each_attempt_at_a_result_has_a_name_of_its_own_and_the_last_stays(
    context: WorkerContext, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = accept(context, clip)
    with monkeypatch.context() as broken:
        broken.setattr(assemble, "describe", away)
        run(context, job_id)
    assert context.storage.exists(keys.result_key(job_id, 1, "mkv"))
    lease = context.store.steps(job_id)["assemble"]
    context.store._entries[job_id].steps["assemble"] = replace(lease, expires_at=0.0)  # type: ignore[attr-defined]
    runner.run(context, job_id, "assemble")
    job = context.store.get(job_id)
    assert (job.state, job.result_key) == (JobState.SUCCEEDED, keys.result_key(job_id, 2, "mkv"))
    assert not context.storage.exists(keys.result_key(job_id, 1, "mkv"))


def test_notices_of_many_at_once_are_all_kept(context: WorkerContext, clip: Path) -> None:
    job_id = accept(context, clip)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: add_notices(context, job_id, [f"notice {n % 40}", "every"]), range(80)))
    assert sorted(read_notices(context, job_id)) == sorted({f"notice {n}" for n in range(40)} | {"every"})


def test_a_storage_that_is_away_for_a_while_costs_nothing(
    context: WorkerContext, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_file, failures = context.storage.put_file, [2]

    def flaky(key: str, path: Path, *, on_chunk: OnChunk) -> None:
        if failures[0]:
            failures[0] -= 1
            raise StorageUnavailable("away")
        put_file(key, path, on_chunk=on_chunk)

    job_id = accept(context, clip)
    monkeypatch.setattr(context.storage, "put_file", flaky)
    job = run(context, job_id)
    assert job.report is not None
    assert job.report["attempts"] == 2 + FRAMES // SEGMENT


def in_bits(work: Callable[..., Any], on_bit: Callable[[], object]) -> Callable[..., Any]:
    """The same, but slow, and told of on the way."""

    def slow(*args: Any, **options: Any) -> Any:
        for _ in range(12):
            time.sleep(0.12)
            options.get("on_chunk", on_bit)()
        return work(*args, **options)

    return slow


def test_what_takes_long_beside_the_frames_shows_that_it_goes_on(
    context: WorkerContext, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 55 GB, that is to fetch the parts, to put the result's index first, to upload and to hash it."""
    job_id = accept(context, clip, Options(model="small"))
    fetch_parts = assemble._fetch_parts

    def write() -> None:
        for folder in context.scratch.iterdir():
            with (folder / "result").open("ab") as file:
                file.write(b"more")

    def begin(*args: Any) -> list[Path]:
        """All before is done: from now on everything is slow."""
        monkeypatch.setattr(held_module, "STALL_S", 1.0)
        for owner, name in (
            (context.storage, "put_file"),
            (assemble, "describe"),
            (assemble.join, "assemble"),
        ):
            monkeypatch.setattr(owner, name, in_bits(getattr(owner, name), write))
        with monkeypatch.context() as patch:
            patch.setattr(context.storage, "fetch", in_bits(context.storage.fetch, write))
            return fetch_parts(*args)

    monkeypatch.setattr(assemble, "_fetch_parts", begin)
    job = run(context, job_id)
    assert job.report is not None
    assert job.report["attempts"] == 2 + FRAMES // SEGMENT


def away(*_: object, **__: object) -> None:
    raise StorageUnavailable("away")


def test_a_storage_that_is_away_for_long_costs_no_attempts(
    context: WorkerContext, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = accept(context, clip)
    with monkeypatch.context() as outage:
        outage.setattr(context.storage, "get", away)
        outage.setattr(context.storage, "ping", away)
        for _ in range(context.settings.attempts_max + 3):
            runner.run(context, job_id, "plan")
        assert context.store.waiting(job_id) == ["plan"]
    assert run(context, job_id).state is JobState.SUCCEEDED


def test_a_full_disk_costs_no_attempts(
    context: WorkerContext, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    job_id = accept(context, clip)
    with monkeypatch.context() as outage:
        outage.setitem(runner._WORK, "plan", full)  # type: ignore[arg-type]
        for _ in range(context.settings.attempts_max + 3):
            runner.run(context, job_id, "plan")
    assert run(context, job_id).state is JobState.SUCCEEDED


def test_an_object_that_cannot_be_read_while_others_can_is_an_attempt(
    context: WorkerContext, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = accept(context, clip)
    monkeypatch.setattr(context.storage, "get", away)
    runner.run(context, job_id, "plan")
    assert context.store.steps(job_id)["plan"].attempts == 1


def test_an_input_at_fault_fails_its_job_with_the_reason(context: WorkerContext, tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "clip.mp4", 10).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    job = run(context, accept(context, tmp_path / "cut.mp4"))
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.code == "broken_media"
    assert manifest.load(context.storage, job.id).job.state is JobState.FAILED


def test_a_step_that_breaks_again_and_again_fails_its_job_by_name(
    context: WorkerContext, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setitem(runner._WORK, "segment", broken)  # type: ignore[arg-type]
    store = MemoryStore(lease_s=0.5, attempts_max=2)
    context = replace(context, store=store)
    job_id = accept(context, clip)
    run(context, job_id)
    for _ in range(2):
        time.sleep(0.6)
        runner.run(context, job_id, "segment/0")
    job = store.get(job_id)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert (job.error.code, "segment/0" in job.error.message) == ("too_many_attempts", True)


def test_a_step_pinned_to_what_this_worker_lacks_is_left_then_switched_with_a_notice(
    context: WorkerContext, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing goes back and forth while a worker that has it may be alive."""
    others = replace(context, runtimes=frozenset())
    job_id = accept(context, clip)
    assert run(others, job_id).state is JobState.RUNNING
    context.store.announce(["openvino-cpu float32"])
    runner.run(others, job_id, "segment/0")
    assert context.store.steps(job_id)["segment/0"].fence == 0
    heard = context.store._turns.heard  # type: ignore[attr-defined]
    heard["openvino-cpu float32"] -= ABSENT_S + 1
    job = run(others, job_id)
    assert job.state is JobState.SUCCEEDED
    assert job.report is not None
    [notice] = [each for each in job.report["notices"] if each.startswith("from frame")]
    assert "from frame 0 on openvino-cpu in float32" in notice
    assert job.report["attempts"] == 2 + FRAMES // SEGMENT


def test_a_job_whose_runtime_the_store_was_not_told_goes_back_once_and_waits_for_its_kind_of_worker(
    context: WorkerContext, clip: Path
) -> None:
    """As a former version planned it."""
    job_id = accept(context, clip)
    set_segments = context.store.set_segments
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context.store, "set_segments", lambda i, segments, _runtime: set_segments(i, segments))
        run(replace(context, runtimes=frozenset()), job_id)
    record = context.store.steps(job_id)["segment/0"]
    assert (record.fence, record.attempts) == (1, 0)
    runner.run(replace(context, runtimes=frozenset()), job_id, "segment/0")
    assert context.store.steps(job_id)["segment/0"] == record
    assert run(context, job_id).state is JobState.SUCCEEDED


def test_films_take_turns_and_a_picture_goes_before_their_next_segments(
    context: WorkerContext, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "KEPT_S", 0.0)
    Image.new("RGB", (32, 24)).save(tmp_path / "picture.png")
    fast = Options(model="bicubic")
    films = [accept(context, clip, fast) for _ in range(2)]
    pictures: list[str] = []
    begun: list[str] = []
    hold = Held.__enter__

    def noting(held: Held) -> Held:
        begun.append(held.lease.job_id)
        if len(begun) == 4:
            pictures.extend(accept(context, tmp_path / "picture.png", fast) for _ in range(2))
        return hold(held)

    monkeypatch.setattr(Held, "__enter__", noting)
    run(context, films[0])
    a, b = films
    # When the pictures come, `a` has waited for as many frames as its next segment has, and `b` has not.
    assert begun == [a, b, a, b, a, *pictures, b, a, b, a, b]
    assert all(context.store.get(job_id).state is JobState.SUCCEEDED for job_id in begun)


def test_a_chain_keeps_its_stream_for_a_while_though_others_wait(
    context: WorkerContext, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "KEPT_S", 60.0)
    fast = Options(model="bicubic")
    films = [accept(context, clip, fast) for _ in range(2)]
    opened: list[str] = []
    upscale = segment.upscale

    def noting(context: WorkerContext, held: Held) -> None:
        opened.append(held.lease.job_id)
        upscale(context, held)

    monkeypatch.setitem(runner._WORK, "segment", noting)  # type: ignore[arg-type]
    run(context, films[0])
    assert opened == films
