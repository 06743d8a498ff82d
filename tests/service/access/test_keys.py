"""Keys: made, recognised, revoked; what is kept of them lets nobody in."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.access.keys import PREFIX, KeyNameTaken, Keyring, UnknownKey, create, list_all, revoke
from service.command.main import main
from service.objects.files import FileStorage


@pytest.fixture
def storage(tmp_path: Path) -> FileStorage:
    return FileStorage(tmp_path / "objects")


def test_a_key_is_recognised_and_what_storage_holds_of_it_is_not_enough(storage: FileStorage) -> None:
    shown = create(storage, "ann", "admin")
    key = Keyring(storage).recognise(shown)
    assert key is not None
    assert (key.name, key.role) == ("ann", "admin")
    (kept,) = (storage.get(name).decode() for name in storage.list(PREFIX))
    assert shown.rpartition("_")[2] not in kept
    assert shown[len("upk_0123456789abcdef_") :] not in kept
    assert Keyring(storage).recognise(f"upk_{key.id}_{key.secret_sha256[:43]}") is None


def test_whatever_is_no_key_of_ours_is_none(storage: FileStorage) -> None:
    ann, bob = create(storage, "ann"), create(storage, "bob")
    ring = Keyring(storage)
    mixed = ann[:21] + bob[21:]
    for shown in (
        "",
        "upk_",
        ann[:-1],
        ann + "x",
        ann.upper(),
        mixed,
        f"upk_{'0' * 16}_{'A' * 43}",
        "é" * 64,
    ):
        assert ring.recognise(shown) is None, shown
    assert ring.recognise(ann) is not None


def test_a_revoked_key_is_known_no_more_after_a_second(storage: FileStorage) -> None:
    now = 0.0
    ring = Keyring(storage, clock=lambda: now)
    shown = create(storage, "ann")
    assert ring.recognise(shown) is not None
    revoke(storage, "ann")
    now = 1.01
    assert ring.recognise(shown) is None
    assert [key.revoked_at is not None for key in list_all(storage)] == [True]


def test_of_many_who_show_a_key_at_once_one_asks_the_storage(storage: FileStorage, tmp_path: Path) -> None:
    class Counting(FileStorage):
        def get(self, key: str) -> bytes:
            asked.append(key)
            time.sleep(0.05)
            return super().get(key)

    asked: list[str] = []
    shown = create(storage, "ann")
    ring = Keyring(Counting(tmp_path / "objects"))
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(ring.recognise, [shown] * 16))
    assert {key and key.name for key in found} == {"ann"}
    assert len(asked) == 1


def test_made_up_ids_do_not_fill_the_memory(storage: FileStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.access.keys._KNOWN_MAX", 10)
    ring = Keyring(storage)
    for number in range(50):
        assert ring.recognise(f"upk_{number:016x}_{'A' * 43}") is None
    assert len(ring._seen) <= 10


def test_of_keys_in_use_each_has_its_own_name(storage: FileStorage) -> None:
    create(storage, "ann")
    with pytest.raises(KeyNameTaken):
        create(storage, "ann")
    revoke(storage, "ann")
    create(storage, "ann")
    with pytest.raises(UnknownKey):
        revoke(storage, "bob")


def test_the_command_line_makes_lists_and_revokes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UPSCALED_DATA_DIR", str(tmp_path))
    assert main(["keys", "create", "ann", "--role", "admin"]) == 0
    shown = capsys.readouterr().out.strip()
    key = Keyring(FileStorage(tmp_path / "objects")).recognise(shown)
    assert key is not None
    assert main(["keys", "list"]) == 0
    assert capsys.readouterr().out.split()[:3] == [key.id, "ann", "admin"]
    assert main(["keys", "revoke", "ann"]) == 0
    assert Keyring(FileStorage(tmp_path / "objects")).recognise(shown) is None
    capsys.readouterr()
    assert main(["keys", "revoke", "ann"]) == 1
    assert "no key in use is called 'ann'" in capsys.readouterr().err
