"""Which addresses of strangers the service calls, and by which numbers."""

import socket
from collections.abc import Callable, Sequence

import pytest

from service.errors import AddressRefused, AddressUnknown, NamesUnavailable
from service.outgoing import Outgoing


def names(**numbers: Sequence[str]) -> Callable[[str, int], Sequence[str]]:
    """A name server that knows these; numbers are their own."""
    known = {name.replace("_", "."): each for name, each in numbers.items()}
    return lambda host, _port: known.get(host, [host])


PUBLIC = {"example_com": ["93.184.216.34", "2606:2800:220:1::1"]}


def test_a_public_address_is_called_by_the_numbers_that_were_judged() -> None:
    found = Outgoing("", resolve=names(**PUBLIC)).resolve("https://example.com/a/b?c=d")
    assert (found.scheme, found.host, found.port, found.target) == ("https", "example.com", 443, "/a/b?c=d")
    assert found.addresses == ("93.184.216.34", "2606:2800:220:1::1")
    assert found.authority == "example.com"


@pytest.mark.parametrize(
    ("url", "authority", "target"),
    [
        ("https://example.com", "example.com", "/"),
        ("https://EXAMPLE.com:8443/", "example.com:8443", "/"),
        ("https://example.com:443?x", "example.com", "/?x"),
        ("https://[2606:2800:220:1::1]:8443/x", "[2606:2800:220:1::1]:8443", "/x"),
    ],
)
def test_what_is_said_there_is_what_the_address_says(url: str, authority: str, target: str) -> None:
    found = Outgoing("", resolve=names(**PUBLIC)).resolve(url)
    assert (found.authority, found.target) == (authority, target)


@pytest.mark.parametrize(
    "number",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.0.0.8",
        "198.18.0.1",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "fc00::1",
        "fd12::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
    ],
)
def test_numbers_that_only_we_can_reach_are_refused(number: str) -> None:
    outgoing = Outgoing("", resolve=names(evil_example=[number], half_example=["93.184.216.34", number]))
    literal = f"[{number}]" if ":" in number else number
    for host in (literal, "evil.example", "half.example"):
        with pytest.raises(AddressRefused):
            outgoing.resolve(f"https://{host}/x")


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost"])
def test_whatever_the_system_takes_for_this_machine_is_refused(host: str) -> None:
    with pytest.raises((AddressRefused, AddressUnknown, NamesUnavailable)):
        Outgoing("").resolve(f"https://{host}/x")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",  # not private, so it needs TLS
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://",
        "https:///x",
        "example.com/x",
        "https://user@example.com/",
        "https://user:secret@example.com/",
        "https://example.com/#part",
        "https://example.com:99999/",
        "https://example.com:x/",
        "https://exa mple.com/",
        "https://example.com/\r\nHost: x",
        "https://exämple.com/",
        "https://example.com%2f@127.0.0.1/",
        "https://example.com\\@127.0.0.1/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://-example.com/",
        "",
    ],
)
def test_what_is_no_plain_address_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        Outgoing("", resolve=names(**PUBLIC)).resolve(url)


def test_a_password_in_an_address_is_not_shown() -> None:
    with pytest.raises(AddressRefused) as refused:
        Outgoing("", resolve=names(**PUBLIC)).resolve("https://user:secret@example.com/")
    assert "secret" not in f"{refused.value} {refused.value.value}"


def test_what_the_operator_allows_is_called_also_without_tls() -> None:
    outgoing = Outgoing("10.1.0.0/16, ::1", resolve=names(hooks_local=["10.1.2.3"], near=["10.2.0.1"]))
    assert outgoing.resolve("http://hooks.local:8080/x").addresses == ("10.1.2.3",)
    assert outgoing.resolve("https://hooks.local/x").port == 443
    assert outgoing.resolve("http://[::1]/").addresses == ("::1",)
    assert outgoing.resolve("http://[::ffff:10.1.2.3]/").addresses == ("10.1.2.3",)
    with pytest.raises(AddressRefused):
        outgoing.resolve("http://near/")


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (socket.EAI_NONAME, AddressUnknown),
        (socket.EAI_AGAIN, NamesUnavailable),
    ],
)
def test_a_name_that_nobody_knows_is_told_from_one_that_nobody_can_look_up(
    number: int, error: type[Exception]
) -> None:
    def fail(_host: str, _port: int) -> Sequence[str]:
        raise socket.gaierror(number, "so it is")

    with pytest.raises(error):
        Outgoing("", resolve=fail).resolve("https://example.com/")
