"""Threads, queues and failures. What the pixels are: test_batching.py; who goes first: test_scheduler.py."""

import gc
import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

from model_core.config import ModelConfig
from model_core.model import build
from service.errors import DeviceLost, OutputInvalid, UpscaleError
from tests.worker.engine.judge import Clip, make_model
from worker.engine import engine as engine_module
from worker.engine import pace as pace_module
from worker.engine.backends.base import Snapshot
from worker.engine.backends.torch import TorchBackend
from worker.engine.engine import Engine
from worker.engine.stream import StreamClosed

WHITE = np.full((16, 24, 3), 255, np.uint8)
GREY = np.full((16, 24, 3), 128, np.uint8)
STILL = np.zeros((2, 16, 24), np.float32)


@pytest.fixture
def engine(model_dis):
    with Engine(TorchBackend(model_dis), queue_frames=3) as engine:
        yield engine


class Faulty(nn.Module):
    """G, but a white frame gives NaN in its row, and a black one in the batch breaks the device."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        low = inputs[:, :3].flatten(1)
        if (low == 0).all(1).any():
            raise RuntimeError("an illegal memory access was encountered")
        high, hidden = self.generator(inputs)
        high[(low == 1).all(1)] = float("nan")
        return high, hidden


@pytest.fixture
def faulty_engine():
    model = make_model("dis")
    model.generator = Faulty(model.generator)
    with Engine(TorchBackend(model)) as engine:
        yield engine


def eventually(condition, timeout_s: float = 5.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def in_thread(function, *args) -> tuple[threading.Thread, list]:
    """Runs it aside; what it raised is in the list."""
    raised: list[BaseException] = []

    def body():
        try:
            function(*args)
        except (UpscaleError, StreamClosed, AssertionError) as error:
            raised.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    return thread, raised


def test_a_stream_gives_each_frame_once_and_then_none(engine):
    with engine.open(16, 24) as stream:
        stream.put(GREY)
        stream.put(GREY, STILL)
        stream.end()
        assert stream.get().shape == (64, 96, 3)
        assert stream.get().dtype == np.uint8
        assert stream.get() is None
        assert stream.get() is None


def test_a_stream_without_frames_ends_at_once(engine):
    with engine.open(16, 24) as stream:
        stream.end()
        assert stream.get() is None


def test_a_reader_that_waits_is_told_of_an_end_without_frames(engine):
    stream = engine.open(16, 24)
    reader, raised = in_thread(stream.get)
    time.sleep(0.02)
    stream.end()
    reader.join(timeout=5)
    assert not reader.is_alive()
    assert not raised


def test_nobody_reading_stops_the_writer_and_reading_lets_it_go_on(engine):
    clip = Clip(1, length=40)
    stream, taken = engine.open(16, 24), []

    def write():
        for frame, flow in zip(clip.frames, clip.flows, strict=True):
            stream.put(frame, flow)
            taken.append(1)
        stream.end()

    writer, raised = in_thread(write)
    assert eventually(lambda: len(taken) == 6)  # three wait in front and three behind
    time.sleep(0.05)
    assert len(taken) == 6
    count = 0
    while stream.get() is not None:
        count += 1
    writer.join()
    assert count == 40
    assert not raised


def test_a_stream_whose_output_is_full_does_not_hold_up_another(engine):
    with engine.open(16, 24) as stuck, engine.open(16, 24) as other:
        for index in range(6):
            stuck.put(GREY, STILL if index else None)
        for index in range(20):
            other.put(GREY, STILL if index else None)
            assert other.get() is not None


def test_a_closed_stream_frees_its_slot_and_its_state_at_the_next_tick(engine):
    stream = engine.open(16, 24)
    stream.put(GREY)
    stream.get()
    assert stream.state is not None
    stream.close()
    assert eventually(lambda: engine.stream_count == 0)
    assert stream.state is None
    with pytest.raises(StreamClosed):
        stream.put(GREY, STILL)
    with pytest.raises(StreamClosed):
        stream.get()


def test_closing_a_stream_wakes_its_writer_and_its_reader(engine):
    stream = engine.open(16, 24)
    reader, of_reader = in_thread(lambda: [stream.get() for _ in range(9)])
    stream.put(GREY)
    time.sleep(0.02)
    stream.close()
    reader.join(timeout=5)
    full = engine.open(16, 24)
    writer, of_writer = in_thread(lambda: [full.put(GREY, STILL if i else None) for i in range(9)])
    time.sleep(0.1)
    full.close()
    writer.join(timeout=5)
    assert not reader.is_alive()
    assert not writer.is_alive()
    assert [type(error) for error in of_reader + of_writer] == [StreamClosed, StreamClosed]


def test_an_ended_stream_leaves_the_engine_without_being_closed(engine):
    stream = engine.open(16, 24)
    stream.put(GREY)
    stream.end()
    stream.get()
    assert eventually(lambda: engine.stream_count == 0)
    assert stream.get() is None


@pytest.mark.parametrize(
    ("frame", "flow"),
    [
        (np.zeros((16, 25, 3), np.uint8), STILL),
        (np.zeros((16, 24, 3), np.float32), STILL),
        (GREY, None),
        (GREY, np.zeros((2, 16, 25), np.float32)),
        (GREY, np.full((2, 16, 24), np.nan, np.float32)),
    ],
)
def test_a_frame_or_flow_that_does_not_fit_breaks_its_own_stream_only(engine, frame, flow):
    with engine.open(16, 24) as broken, engine.open(16, 24) as other:
        broken.put(GREY)
        with pytest.raises(OutputInvalid):
            broken.put(frame, flow)
        with pytest.raises(OutputInvalid):
            broken.get()
        other.put(GREY)
        assert other.get() is not None


def test_a_stored_state_that_does_not_fit_is_refused(engine):
    with pytest.raises(OutputInvalid):
        engine.open(16, 24, state=Snapshot(GREY, GREY, np.zeros((16, 24, 0), np.int8)))


def test_a_number_that_is_not_finite_fails_its_own_stream_only(faulty_engine):
    with faulty_engine.open(16, 24) as broken, faulty_engine.open(16, 24) as other:
        broken.put(WHITE)
        with pytest.raises(OutputInvalid, match="not finite"):
            broken.get()
        for index in range(5):
            other.put(GREY, STILL if index else None)
            assert other.get() is not None


def test_a_failing_device_fails_every_stream_and_the_engine_takes_no_more(faulty_engine, caplog):
    streams = [faulty_engine.open(16, 24) for _ in range(3)]
    streams[0].put(GREY)
    streams[0].get()
    readers = [in_thread(stream.get) for stream in streams[:2]]
    streams[2].put(np.zeros((16, 24, 3), np.uint8))
    for reader, raised in readers:
        reader.join(timeout=5)
        assert [type(error) for error in raised] == [DeviceLost]
    with pytest.raises(DeviceLost, match="illegal memory access"):
        streams[2].put(GREY, STILL)
    with pytest.raises(DeviceLost):
        faulty_engine.open(16, 24)
    assert faulty_engine.failure is not None
    assert [record.message for record in caplog.records] == ["engine_failed"]


def test_closing_the_engine_closes_its_streams(model_dis):
    engine = Engine(TorchBackend(model_dis))
    stream = engine.open(16, 24)
    reader, raised = in_thread(stream.get)
    engine.close()
    reader.join(timeout=5)
    assert [type(error) for error in raised] == [StreamClosed]
    with pytest.raises(StreamClosed):
        engine.open(16, 24)


def test_streams_that_wait_together_advance_in_one_batch(model_dis):
    """The device is held while eight streams fill up, so that all are ready at the second tick."""
    batches, device = [], threading.Lock()
    with Engine(TorchBackend(model_dis), device=device, on_batch=batches.append) as engine:
        with device:
            streams = [engine.open(16, 24) for _ in range(8)]
            for stream in streams:
                for index in range(3):
                    stream.put(GREY, STILL if index else None)
        for stream in streams:
            for _ in range(3):
                stream.get()
    assert sum(batches) == 24
    assert max(batches) == 8
    assert len(batches) <= 5


def test_a_frame_of_half_the_pixel_budget_goes_two_at_a_time(model_dis):
    batches, device = [], threading.Lock()
    backend = TorchBackend(model_dis, tile_pixels_max=2 * 16 * 24)
    with Engine(backend, device=device, on_batch=batches.append) as engine:
        with device:
            streams = [engine.open(16, 24) for _ in range(6)]
            for stream in streams:
                stream.put(GREY)
        for stream in streams:
            stream.get()
    assert max(batches) == 2


def test_flows_are_computed_several_frames_ahead_in_one_call(model_fnet):
    stages, device = [], threading.Lock()
    with Engine(
        TorchBackend(model_fnet),
        device=device,
        lookahead=4,
        on_stage=lambda stage, seconds: stages.append((stage, seconds)),
    ) as engine:
        stream = engine.open(16, 24)
        with device:
            for _ in range(8):
                stream.put(GREY)
        for _ in range(8):
            stream.get()
    assert [stage for stage, _ in stages].count("generator") == 8
    assert [stage for stage, _ in stages].count("flow") == 2  # seven flows, four at a time
    assert all(seconds > 0 for _, seconds in stages)


def test_two_engines_on_one_device_both_get_on(model_dis):
    device = threading.Lock()
    with (
        Engine(TorchBackend(model_dis), device=device) as one,
        Engine(TorchBackend(model_dis), device=device) as two,
    ):
        feeders = []
        for engine in (one, two):
            stream = engine.open(16, 24)

            def write(stream=stream):
                for index in range(20):
                    stream.put(GREY, STILL if index else None)
                stream.end()

            def read(stream=stream):
                assert [stream.get().shape for _ in range(20)] == [(64, 96, 3)] * 20

            feeders += [in_thread(write), in_thread(read)]
        for thread, raised in feeders:
            thread.join(timeout=10)
            assert not thread.is_alive()
            assert not raised


def test_a_single_image_model_keeps_no_state():
    model = build(ModelConfig(generator="bicubic", flow="none"))
    with Engine(TorchBackend(model)) as engine, engine.open(16, 24) as stream:
        stream.put(GREY)
        first = stream.get()
        stream.put(GREY)
        assert (stream.get() == first).all()
        assert (first == 128).all()
        assert stream.state is None


def test_memory_holds_one_state_a_stream_and_the_queues_whatever_the_length(engine):
    """Counts the live pictures of a long stream: a list that grows anywhere would show."""
    clip = Clip(1, length=10)
    with engine.open(16, 24) as stream:
        for t in range(100):
            stream.put(clip.frames[t % 10].copy(), clip.flows[1] if t else None)
            stream.get()
        gc.collect()
        high = [
            each for each in gc.get_objects() if type(each) is torch.Tensor and each.shape[-2:] == (64, 96)
        ]
    assert len(high) <= 2


def test_an_idle_engine_shows_that_it_is_alive(model_dis, monkeypatch):
    monkeypatch.setattr(engine_module, "IDLE_WAIT_S", 0.01)
    with Engine(TorchBackend(model_dis)) as engine:
        monkeypatch.setattr(pace_module, "SILENT_S_MAX", 0.5)
        with engine.open(16, 24):
            time.sleep(1)
            assert engine.stuck_s() is None
        assert engine.busy_s == 0


def test_limits_below_one_are_refused(model_dis):
    with pytest.raises(ValueError, match="batch_max=0"):
        Engine(TorchBackend(model_dis), batch_max=0)


def test_a_stream_knows_its_part_of_the_devices_time(model_dis):
    with Engine(TorchBackend(model_dis)) as engine, engine.open(16, 24) as stream:
        stream.put(GREY)
        stream.end()
        assert stream.get() is not None
        assert stream.get() is None
        assert eventually(lambda: engine.busy_s > 0)  # counted when all of the tick was delivered
        assert 0 < stream.take_busy_s() <= engine.busy_s
        assert stream.take_busy_s() == 0


def test_a_stream_advances_while_the_engine_has_a_frame_of_it(model_dis):
    with Engine(TorchBackend(model_dis)) as engine, engine.open(16, 24) as stream:
        assert not engine.advances(stream)  # whoever waits for it waits for the decoder
        with engine._device:
            stream.put(GREY)
            assert engine.advances(stream)
        assert stream.get() is not None
        assert not engine.advances(stream)
