"""Signatures, checked by the standard's own library."""

import json
import time
from base64 import b64encode
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from service.access.keys import create
from service.command.main import main
from service.objects.files import FileStorage
from service.settings import Settings
from service.webhooks.signing import read_secrets, secrets_of, shown, signed

OLD, NEW = bytes(range(24)), bytes(range(32, 64))
BODY = json.dumps({"type": "job.succeeded", "data": {"name": "été"}}).encode()


def sign(*secrets: bytes, at_s: int | None = None) -> dict[str, str]:
    return signed(secrets, message_id="msg_1", at_s=int(time.time()) if at_s is None else at_s, body=BODY)


def test_a_receiver_with_the_secret_knows_that_a_message_is_ours() -> None:
    assert Webhook(shown(NEW)).verify(BODY.decode(), sign(NEW)) == json.loads(BODY)


def test_while_secrets_change_a_receiver_may_have_either() -> None:
    headers = sign(NEW, OLD)
    for secret in (NEW, OLD):
        Webhook(shown(secret)).verify(BODY.decode(), headers)


@pytest.mark.parametrize(
    "headers",
    [
        sign(OLD),
        sign(NEW, at_s=int(time.time()) - 3600),
        {**sign(NEW), "webhook-id": "msg_2"},
    ],
)
def test_what_is_not_ours_or_of_long_ago_is_told_apart(headers: dict[str, str]) -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(shown(NEW)).verify(BODY.decode(), headers)


def test_no_owner_can_sign_for_another() -> None:
    ours, anns, bobs = (secrets_of((NEW, OLD), owner) for owner in (None, "ann", "bob"))
    assert ours == (NEW, OLD)
    assert len({*ours, *anns, *bobs}) == 6
    assert secrets_of((NEW, OLD), "ann") == anns
    Webhook(shown(anns[0])).verify(BODY.decode(), sign(*anns))
    with pytest.raises(WebhookVerificationError):
        Webhook(shown(anns[0])).verify(BODY.decode(), sign(*bobs))


def test_secrets_are_read_as_they_are_shown_the_newest_first() -> None:
    assert read_secrets(f"{shown(NEW)}, {shown(OLD)}") == (NEW, OLD)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2",
        b64encode(NEW).decode(),
        "whsec_" + b64encode(bytes(23)).decode(),
        "whsec_" + b64encode(bytes(65)).decode(),
        "whsec_***",
        ",".join([shown(NEW)] * 3),
    ],
)
def test_what_is_no_secret_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match="secret") as refused:
        read_secrets(text)
    assert not text or text not in str(refused.value)


def test_the_command_line_makes_a_secret_and_shows_what_receivers_check_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def say(*words: str) -> list[str]:
        assert main(["webhooks", *words]) == 0
        return capsys.readouterr().out.split()

    monkeypatch.setenv("UPSCALED_DATA_DIR", str(tmp_path))
    (made,) = say("new-secret")
    monkeypatch.setenv("UPSCALED_WEBHOOK_SECRETS", f"{made},{shown(OLD)}")
    assert say("secret") == [made, shown(OLD)]
    key = create(FileStorage(tmp_path / "objects"), "ann")
    anns = say("secret", "ann")
    assert anns == [shown(secret) for secret in secrets_of(Settings().webhook_keys, key.split("_")[1])]
    assert main(["webhooks", "secret", "bob"]) == 1
    monkeypatch.delenv("UPSCALED_WEBHOOK_SECRETS")
    assert main(["webhooks", "secret"]) == 1
    assert "UPSCALED_WEBHOOK_SECRETS" in capsys.readouterr().err
