"""Outgoing: may this service call the address that a stranger gave, and by which numbers?

A caller's address must not lead to what only we can reach: a name is resolved once, every number that it has
is judged, and the connection goes to a number that was judged, so that no second answer of a name server can
lead elsewhere. Redirects are nobody's to follow without asking here again. Not here: what is sent.
Start reading at `Outgoing.resolve`.
"""

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from service.errors import AddressRefused, AddressUnknown, NamesUnavailable

Address: TypeAlias = IPv4Address | IPv6Address

_PORTS: Final = {"https": 443, "http": 80}
# A name in ASCII, or numbers: what some library would take for something else is nothing to us.
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_PRINTED: Final = re.compile(r"[!-~]+")
_PROTOCOLS: Final = IPv4Network("192.0.0.0/24")  # of which Python takes some for public
_NAT64: Final = IPv6Network("64:ff9b::/96")  # holds an IPv4 address, which a gateway then calls

Resolve = Callable[[str, int], Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where to connect to, and what to say there."""

    scheme: str
    host: str  # as the certificate has to have it
    port: int
    addresses: tuple[str, ...]  # all judged; any will do
    target: str  # path and query

    @property
    def authority(self) -> str:
        """For the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def by(self, address: str) -> str:
        """The address as a client is to connect to it, which then resolves nothing."""
        numbers = f"[{address}]" if ":" in address else address
        return f"{self.scheme}://{numbers}:{self.port}{self.target}"


def numbers_of(host: str, port: int) -> list[str]:
    """As the system resolves it. Blocks."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class Outgoing:
    """`allowed` are networks that may be called though they are not public, and without TLS."""

    def __init__(self, allowed: str, *, resolve: Resolve = numbers_of) -> None:
        self._allowed = networks(allowed)
        self._resolve = resolve

    def resolve(self, url: str) -> Destination:
        """Raises AddressRefused, AddressUnknown where the name has no number, NamesUnavailable. Blocks."""
        scheme, host, port, target = _parts(url)
        try:
            numbers = self._resolve(host, port)
        except socket.gaierror as error:
            if error.errno == socket.EAI_AGAIN:
                raise NamesUnavailable(
                    f"the name {host} can't be resolved now", field="address", value=host
                ) from error
            raise AddressUnknown(f"there is no host {host}", field="address", value=host) from error
        except (OSError, UnicodeError) as error:
            raise AddressUnknown(f"the name {host} can't be resolved", field="address", value=host) from error
        addresses = [_plain(ip_address(number)) for number in numbers]
        for address in addresses:
            self._judge(address, scheme, host)
        if not addresses:
            raise AddressUnknown(f"the name {host} has no address", field="address", value=host)
        return Destination(
            scheme=scheme, host=host, port=port, addresses=tuple(map(str, addresses)), target=target
        )

    def _judge(self, address: Address, scheme: str, host: str) -> None:
        if any(address in network for network in self._allowed):
            return
        if not _is_public(address):
            raise AddressRefused(f"{host} is no public address", field="address", value=host)
        if scheme != "https":
            raise AddressRefused("the address must begin with https://", field="address", value=host)


def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Of a list with commas; raises ValueError."""
    return tuple(ip_network(each.strip()) for each in text.split(",") if each.strip())


def _parts(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port, path and query; raises AddressRefused."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise AddressRefused("this is no address", field="address", value=url) from error
    if parts.scheme not in _PORTS or not _PRINTED.fullmatch(url) or not _HOST.fullmatch(host):
        message = "an address is https://NAME/PATH in ASCII"
        raise AddressRefused(message, field="address", value=url)
    if "@" in parts.netloc or parts.fragment:
        message = "an address may have neither a password nor a fragment"
        raise AddressRefused(message, field="address", value=host)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.scheme, host, port or _PORTS[parts.scheme], target


def _plain(address: Address) -> Address:
    """An IPv4 address that is written as one of IPv6 is what it is."""
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address):
        inside = _inside(address)
        if inside or address.is_site_local:
            return bool(inside) and all(map(_is_public, inside))
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and address not in _PROTOCOLS
    )


def _inside(address: IPv6Address) -> list[IPv4Address]:
    """IPv4 addresses that some gateway on the way would call."""
    found = [address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [each for each in found if each is not None]
