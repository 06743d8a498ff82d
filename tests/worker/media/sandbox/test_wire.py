"""Messages and errors that cross from a reader to the worker."""

import socket

import pytest

from service import errors
from service.errors import BrokenMedia, InputError, OutputInvalid
from worker.media.sandbox import wire
from worker.media.sandbox.wire import Unreadable, Wire, raised, told


@pytest.fixture
def ends():
    first, second = socket.socketpair()
    with first, second:
        yield first, second


def test_messages_arrive_whole_and_in_order(ends):
    for message in ({"a": 1}, {"b": ["x", None, 1.5]}, {}):
        Wire(ends[0]).send(message)
    ends[0].close()
    received = Wire(ends[1])
    assert [received.receive() for _ in range(4)] == [{"a": 1}, {"b": ["x", None, 1.5]}, {}, None]


def test_message_in_pieces_is_received_when_it_is_whole(ends):
    ends[1].settimeout(0.01)
    received = Wire(ends[1])
    ends[0].sendall(b"\0\0\0\x08{")
    with pytest.raises(TimeoutError):
        received.receive()
    ends[0].sendall(b'"a": 1}')
    assert received.receive() == {"a": 1}


@pytest.mark.parametrize(
    "sent",
    [
        b"\xff\xff\xff\xff",
        b"\0\0\0\x01{",
        b"\0\0\0\x02[]",
        b"\0\0\0\x04\xff\xff\xff\xff",
        (100_000).to_bytes(4, "big") + b"[" * 100_000,
        (10_000).to_bytes(4, "big") + b"1" * 10_000,
    ],
)
def test_what_is_no_message_is_told_as_such(ends, sent):
    ends[0].sendall(sent)
    with pytest.raises(Unreadable):
        Wire(ends[1]).receive()


KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, (InputError, OutputInvalid))
]  # not what other parts have beside


@pytest.mark.parametrize("kind", KINDS)
def test_error_is_the_same_at_the_other_end(kind):
    error = kind("as it is", field="file", value="10x10")
    again = raised(told(error))
    assert type(again) is kind
    assert (str(again), again.field, again.value) == ("as it is", "file", "10x10")


@pytest.mark.parametrize("plain", [{}, {"code": "internal_error"}, {"code": errors.DeviceGone.code}])
def test_error_that_reading_cannot_end_in_is_damage(plain):
    assert type(raised(plain)) is BrokenMedia


def test_error_s_words_are_bounded():
    error = raised({"code": "no_video", "message": "x" * 10**6, "field": "y" * 10**6, "value": "z" * 10**6})
    assert len(str(error)) == len(error.field) == len(error.value) == wire._TEXT_MAX
