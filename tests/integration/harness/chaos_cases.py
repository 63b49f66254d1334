"""Which exchanges are broken, where and how."""

import dataclasses

from . import scaled
from .chaos import Byte, Record, Strike
from .chaos_peers import Exchange, http1_request

GET = Exchange("get", response=(b"forty bytes of an answer, give or take..",))
POST = Exchange("post", "POST", request=(b"a body ", b"in two pieces"), response=(b"thanks",))
CHUNKED = Exchange("chunked", "POST", request=(b"one", b"and two"), request_trailers=(("x-sum", "1"),),
                   response=(b"three", b"and four"), response_trailers=(("x-total", "2"),), chunked=True)  # fmt: skip
TALK = Exchange("talk", "POST", request=(b"\0\0\0\0\5hello", b"\0\0\0\0\3you", b"\0\0\0\0\3bye"), talk=True,
                response_trailers=(("grpc-status", "0"),))  # fmt: skip
TUNNEL = Exchange("tunnel", request=(b"first", b"second", b"third"), tunnel=True)

LARGE = 6_000_000
_BLOCK = bytes(range(251)) * 261
DOWNLOAD = Exchange("download", response=(_BLOCK,) * (LARGE // len(_BLOCK)))
UPLOAD = Exchange("upload", "POST", request=(_BLOCK,) * (LARGE // len(_BLOCK)), response=(b"got it",))


@dataclasses.dataclass(frozen=True)
class Pairing:
    client: str  # h1 or h2 …
    tls: bool
    upstream: str  # h1, h2 by prior knowledge, or h1s: HTTP/1.1 over TLS

    def __str__(self):
        return f"{self.client}{'s' if self.tls else ''}-{self.upstream}"


PAIRINGS = [Pairing(client, tls, upstream)
            for client in ("h1", "h2") for tls in (False, True) for upstream in ("h1", "h2")]  # fmt: skip
TUNNELS = [Pairing("h1", False, "h1"), Pairing("h1", True, "h1"), Pairing("h2", False, "h1")]


@dataclasses.dataclass
class Case:
    pairing: Pairing
    exchange: Exchange
    leg: str  # client or upstream
    fault: str
    direction: str = "up"
    spot: Byte | Record | None = None
    size: int = 0
    kept: bool = False  # upstream's connection has served another exchange

    def strike(self) -> Strike:
        return Strike(self.fault, self.direction, self.spot, self.size)

    def __str__(self):
        where = self.spot or ("all" if self.fault == "slice" else "the request's end")
        what = f"{self.pairing} {'kept ' * self.kept}{self.exchange.name}: {self.fault} {self.size or ''}"
        return f"{what} {self.leg} {self.direction} at {where}"


BREAKS = ("reset", "half", "stall")


def _spots(pairing: Pairing, exchange: Exchange, leg: str, direction: str):
    """Spots behind the end are no strikes, and such a case must simply go well."""
    if leg == "client" and pairing.tls:
        # hello, the handshake's rest, tickets, and the exchange, whichever has how many records
        return [Record(index, delta) for index in range(scaled(7, 10)) for delta in (0, 1, -1)]
    length = 330 if leg == "upstream" or pairing.client == "h2" else 150
    if direction == "up" and leg == "client" and pairing.client == "h1":
        length = sum(map(len, http1_request(exchange, "/h1/00/0000000")))
    if direction == "up" and leg == "upstream" and pairing.upstream == "h1":
        length += 100
    step = scaled(31, 1)
    return [Byte(0), Byte(1), *(Byte(offset) for offset in range(2, length, step))]


def small(pairing: Pairing, leg: str) -> list[Case]:
    exchanges = [GET, POST, CHUNKED] if not pairing.tls or scaled(False, True) else [POST]
    if (pairing.client, pairing.upstream) == ("h2", "h2"):
        exchanges = [*exchanges, TALK]
    made = []
    for exchange in exchanges:
        for direction in ("up", "down"):
            made += [Case(pairing, exchange, leg, "slice", direction, size=size) for size in (1, 2, 3, 7, 17)]
            for spot in _spots(pairing, exchange, leg, direction):
                made += [Case(pairing, exchange, leg, fault, direction, spot) for fault in (*BREAKS, "delay")]
        if leg == "client" and not exchange.talk:
            made += [Case(pairing, exchange, leg, fault) for fault in ("reset", "half")]
    return made


def upstream_tls() -> list[Case]:
    """The handshake with an upstream, and the first records behind it."""
    pairing, made = Pairing("h1", False, "h1s"), []
    for direction, records in (("up", 3), ("down", 8)):
        made += [Case(pairing, GET, "upstream", "slice", direction, size=size) for size in (1, 7)]
        for index in range(records):
            for delta in scaled((0, 1, -1), (0, 1, 2, 3, 4, 5, 20, -2, -1)):
                made += [Case(pairing, GET, "upstream", fault, direction, Record(index, delta))
                         for fault in (*BREAKS, "delay")]  # fmt: skip
    return made


def kept() -> list[Case]:
    """The second exchange on a connection from the pool."""
    pairing, made = PAIRINGS[0], []
    for exchange in (GET, POST):
        for direction in ("up", "down"):
            for offset in [0, 1, *range(2, 420, scaled(31, 1))]:
                made += [Case(pairing, exchange, "upstream", fault, direction, Byte(offset), kept=True)
                         for fault in BREAKS]  # fmt: skip
    return made


def large(pairing: Pairing) -> list[Case]:
    """The message is on its way, and neither side can have buffered the rest of it."""
    made = []
    offsets = scaled((1_000_003,), (17, 20_000, 65_536, 131_071, 500_000, 1_000_003))
    for exchange, direction in ((DOWNLOAD, "down"), (UPLOAD, "up")):
        for leg in ("client", "upstream"):
            made.append(Case(pairing, exchange, leg, "slice", direction, size=10_007))
            made += [Case(pairing, exchange, leg, fault, direction, Byte(offset))
                     for offset in offsets for fault in (*BREAKS, "delay")]  # fmt: skip
    return made


def tunnels(pairing: Pairing) -> list[Case]:
    made = []
    for leg in ("client", "upstream"):
        for direction in ("up", "down"):
            made += [Case(pairing, TUNNEL, leg, "slice", direction, size=size) for size in (1, 5)]
            for spot in _spots(pairing, TUNNEL, leg, direction):
                made += [Case(pairing, TUNNEL, leg, fault, direction, spot) for fault in (*BREAKS, "delay")]
    return made
