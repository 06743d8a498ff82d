"""The registry over real file storage and real checkpoints of tiny networks."""

import json
import threading
import time

import numpy as np
import pytest
import torch

from model_core import checkpoint, known_answer
from model_core.config import ModelConfig
from model_core.model import build
from service.errors import CheckpointInvalid, DeviceLost, InvalidOption, StorageUnavailable, UnknownModel
from service.objects import published
from service.objects.files import FileStorage
from service.settings import Settings
from worker.engine.backends.making import Runtime
from worker.models import registry as models_module
from worker.models.registry import Registry

FRAME = np.full((16, 24, 3), 128, np.uint8)


@pytest.fixture(autouse=True, scope="session")
def one_torch_thread():
    torch.set_num_threads(1)


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path, device="cpu", precision="float32", models_poll_s=0.02)


@pytest.fixture
def storage(settings):
    return FileStorage(settings.objects_dir)


@pytest.fixture
def refusals() -> list[str]:
    return []


@pytest.fixture
def registry(storage, settings, refusals):
    with Registry(storage, settings, on_load_failed=refusals.append) as registry:
        yield registry


@pytest.fixture
def publish(storage, tmp_path):
    """Publish tiny weights of this seed as `net`; returns the version."""

    def publish(seed: int, *, spoil=None, card=None) -> str:
        torch.manual_seed(seed)
        model = build(ModelConfig(generator="frvsr", flow="dis", features=4, blocks=1)).eval()
        folder = tmp_path / f"made-{seed}"
        version = checkpoint.save(folder, model, card or {known_answer.CARD_KEY: known_answer.answer(model)})
        if spoil:
            spoil(folder)
        published.publish(storage, "net", version, folder)
        return version

    return publish


def eventually(condition, timeout_s: float = 5.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def one_output(served) -> np.ndarray:
    with served.engine.open(16, 24) as stream:
        stream.put(FRAME)
        return stream.get()


def test_shipped_weights_are_published_into_an_empty_storage(registry, storage):
    assert registry.names() == sorted(checkpoint.shipped())
    latest = published.read_latest(storage, "bicubic")
    assert registry.resolve("bicubic") == latest.version
    with registry.acquire("bicubic") as served:
        assert (one_output(served) == 128).all()


def test_a_version_published_before_is_not_replaced_by_the_shipped_one(storage, settings, tmp_path):
    model = build(ModelConfig(generator="bicubic", flow="none"))
    folder = tmp_path / "other"
    checkpoint.save(folder, model, {"note": "ours"})
    published.publish(storage, "bicubic", "0123456789abcdef", folder)
    with Registry(storage, settings):
        assert published.read_latest(storage, "bicubic").version == "0123456789abcdef"


def test_a_shipped_model_is_served_by_a_registry_that_was_never_started(storage, settings):
    registry = Registry(storage, settings)
    with registry.acquire("bicubic") as served:
        assert one_output(served).shape == (64, 96, 3)
    registry.close()


@pytest.mark.parametrize("name", ["nothing", "../net", ""])
def test_a_model_nobody_published_is_unknown(registry, name):
    with pytest.raises(UnknownModel) as raised:
        registry.acquire(name)
    assert raised.value.value == name


def test_a_moved_latest_is_given_to_new_work_while_running_work_keeps_its_version(registry, publish):
    first = publish(1)
    with registry.acquire("net") as running, running.engine.open(16, 24) as stream:
        stream.put(FRAME)
        before = stream.get()
        second = publish(2)
        assert eventually(lambda: registry.resolve("net") == second)
        with registry.acquire("net") as fresh:
            assert (running.version, fresh.version) == (first, second)
            assert fresh.engine is not running.engine
            assert (one_output(fresh) != before).any()
        assert (one_output(running) == before).all()


def test_the_old_version_is_freed_with_its_last_user(registry, publish):
    publish(1)
    users = [registry.acquire("net") for _ in range(2)]
    old = users[0].engine
    second = publish(2)
    assert eventually(lambda: registry.resolve("net") == second)
    users[0].release()
    users[0].release()  # a second time changes nothing
    assert old in registry.engines()
    assert one_output(users[1]) is not None
    users[1].release()
    assert old not in registry.engines()


def test_the_current_version_stays_loaded_between_jobs(registry, publish):
    publish(1)
    with registry.acquire("net") as served:
        engine = served.engine
    with registry.acquire("net") as served:
        assert served.engine is engine


def test_a_rollback_is_followed(registry, publish, storage):
    first, second = publish(1), publish(2)
    assert registry.resolve("net") == second
    published.move_latest(storage, "net", first)
    assert eventually(lambda: registry.resolve("net") == first)


def truncated(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def altered(folder):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def of_another_shape(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"features": 5}))


def with_another_answer(folder):
    card = json.loads((folder / "card.json").read_text())
    card[known_answer.CARD_KEY][3] += 100
    (folder / "card.json").write_text(json.dumps(card))


SPOILS = [truncated, altered, of_another_shape, with_another_answer]


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_bad_publish_changes_nothing_but_a_metric_and_a_good_one_after_it_is_served(
    registry, publish, refusals, spoil
):
    first = publish(1)
    with registry.acquire("net") as served:
        publish(2, spoil=spoil)
        assert eventually(lambda: refusals == ["net"])
        time.sleep(0.1)  # some looks later it was not fetched and counted again
        assert refusals == ["net"]
        assert registry.resolve("net") == first
        assert one_output(served) is not None
    third = publish(3)
    assert eventually(lambda: registry.resolve("net") == third)


def test_a_pointer_nobody_can_read_changes_nothing(registry, publish, storage):
    first = publish(1)
    assert registry.resolve("net") == first
    storage.put(published.latest_key("net"), b"{")
    time.sleep(0.1)
    assert registry.resolve("net") == first
    second = publish(2)
    assert eventually(lambda: registry.resolve("net") == second)


def test_a_worker_that_starts_after_a_bad_publish_serves_the_version_before_it(
    storage, settings, publish, refusals
):
    first = publish(1)
    publish(2, spoil=truncated)
    with Registry(storage, settings, on_load_failed=refusals.append) as registry:
        assert registry.resolve("net") == first
    assert refusals == ["net"]


def test_a_first_version_that_is_bad_is_refused_by_type(registry, publish):
    version = publish(1, spoil=altered)
    with pytest.raises(CheckpointInvalid, match=version):
        registry.acquire("net")


def test_a_network_that_gives_no_numbers_is_refused(registry, storage, tmp_path):
    model = build(ModelConfig(generator="frvsr", flow="dis", features=4, blocks=1)).eval()
    model.generator.head[0].weight.data.fill_(3e38)  # finite, and its products are not
    folder = tmp_path / "overflowing"
    published.publish(storage, "net", checkpoint.save(folder, model, {}), folder)
    with pytest.raises(CheckpointInvalid, match="not finite"):
        registry.acquire("net")


def test_a_pinned_version_is_loaded_on_demand_and_freed(registry, publish):
    first, second = publish(1), publish(2)
    with registry.acquire("net", first) as pinned, registry.acquire("net") as fresh:
        assert (pinned.version, fresh.version) == (first, second)
        engine = pinned.engine
    assert engine not in registry.engines()
    assert fresh.engine in registry.engines()


def test_a_pinned_runtime_shares_the_engine_where_it_is_the_one_chosen_anyway(registry, publish):
    version = publish(1)
    with (
        registry.acquire("net") as free,
        registry.acquire("net", version, runtime=Runtime("openvino-cpu", "float32")) as same,
        registry.acquire("net", version, runtime=Runtime("torch-cpu", "bfloat16")) as other,
    ):
        assert same.engine is free.engine
        assert (free.backend, free.precision) == ("openvino-cpu", "float32")
        assert (other.backend, other.precision) == ("torch-cpu", "bfloat16")
        assert other.engine is not free.engine
    assert other.engine not in registry.engines()


def test_a_runtime_is_honoured_where_this_machine_rounds_as_it_does(registry):
    assert Runtime("torch-cpu", "bfloat16") in registry.runtimes()
    assert Runtime("openvino-cpu", "float32") in registry.runtimes()
    assert Runtime("torch-cpu", "float16") not in registry.runtimes()
    assert Runtime("torch-cuda", "float32") not in registry.runtimes()


def test_many_at_once_load_a_model_once(registry, publish):
    publish(1)
    served = []
    threads = [threading.Thread(target=lambda: served.append(registry.acquire("net"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each.engine for each in served}) == 1
    assert len(served) == 8


def test_a_spoilt_local_copy_is_fetched_again(storage, settings, publish):
    version = publish(1)
    with Registry(storage, settings) as registry, registry.acquire("net"):
        pass
    altered(settings.cache_dir / "models" / "net" / version)
    with Registry(storage, settings) as registry, registry.acquire("net") as served:
        assert served.version == version


def test_a_failed_engine_is_not_handed_out_again(registry, publish, monkeypatch):
    publish(1)
    with registry.acquire("net") as served:

        def broken(*_args):
            raise RuntimeError("device-side assert triggered")

        monkeypatch.setattr(served.engine.backend, "step", broken)
        with pytest.raises(DeviceLost):
            one_output(served)
        with registry.acquire("net") as again:
            assert one_output(again) is not None


def test_storage_that_is_away_for_a_while_changes_nothing(registry, publish, monkeypatch, storage):
    first = publish(1)
    assert registry.resolve("net") == first
    asked = threading.Event()

    def away(*_args):
        asked.set()
        raise StorageUnavailable("no route")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "get", away)
        assert asked.wait(5)
        assert registry.resolve("net") == first
    second = publish(2)
    assert eventually(lambda: registry.resolve("net") == second)


def test_a_refused_version_is_tried_again_after_a_while(registry, publish, storage, monkeypatch, tmp_path):
    """A publisher may have died in mid-upload and come back."""
    monkeypatch.setattr(models_module, "REFUSED_RETRY_S", 0.1)
    publish(1)
    registry.resolve("net")
    second = publish(2, spoil=truncated)
    time.sleep(0.1)
    torch.manual_seed(2)
    whole = tmp_path / "whole"
    checkpoint.save(whole, build(ModelConfig(generator="frvsr", flow="dis", features=4, blocks=1)), {})
    storage.put_file(published.file_key("net", second, "model.safetensors"), whole / "model.safetensors")
    assert eventually(lambda: registry.resolve("net") == second)


def test_a_worker_does_not_start_with_a_precision_that_it_would_refuse_to_honour(storage, settings):
    """A job that it planned would be pinned to what no worker runs."""
    with pytest.raises(InvalidOption, match="float16"):
        Registry(storage, settings.model_copy(update={"precision": "float16"}))
