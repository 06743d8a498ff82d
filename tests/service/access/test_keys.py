"""Keys: made, proved, revoked; what is kept of them lets nobody in."""

from pathlib import Path

import pytest

from service.access.keys import (
    PREFIX,
    Key,
    KeyNameTaken,
    UnknownKey,
    create,
    find,
    parts,
    proves,
    revoke,
)
from service.command.main import main
from service.objects.files import FileStorage


@pytest.fixture
def storage(tmp_path: Path) -> FileStorage:
    return FileStorage(tmp_path / "objects")


def recognised(storage: FileStorage, shown: str) -> Key | None:
    known = parts(shown)
    assert known is not None
    key = find(storage, known[0])
    return key if proves(known[1], key) else None


def test_a_key_is_recognised_and_what_storage_holds_of_it_is_not_enough(storage: FileStorage) -> None:
    shown = create(storage, "ann", "admin")
    key = recognised(storage, shown)
    assert key is not None
    assert (key.name, key.role) == ("ann", "admin")
    (kept,) = (storage.get(name).decode() for name in storage.list(PREFIX))
    assert shown.rpartition("_")[2] not in kept
    assert shown[len("upk_0123456789abcdef_") :] not in kept
    assert recognised(storage, f"upk_{key.id}_{key.secret_sha256[:43]}") is None


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
    key = recognised(FileStorage(tmp_path / "objects"), shown)
    assert key is not None
    assert main(["keys", "list"]) == 0
    assert capsys.readouterr().out.split()[:3] == [key.id, "ann", "admin"]
    assert main(["keys", "revoke", "ann"]) == 0
    assert recognised(FileStorage(tmp_path / "objects"), shown) is None
    capsys.readouterr()
    assert main(["keys", "revoke", "ann"]) == 1
    assert "no key in use is called 'ann'" in capsys.readouterr().err
