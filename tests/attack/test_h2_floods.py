"""The threat: frames that cost the sender nothing and us something, or that make us hold what nobody
reads: rapid reset (CVE-2023-44487), resets that we are provoked to (CVE-2025-8671), CONTINUATION
(CVE-2024-27316), SETTINGS, PING, PRIORITY and empty frames (CVE-2019-9511 to 9518), HPACK bombs, readers
with a window of nothing or of one octet.

Every kind has a budget (limits.h2). These tests run against the defaults: the connection that spends it
is ended with ENHANCE_YOUR_CALM and counted, a second client is served throughout, the gateway's memory
and its CPU time for each attack byte stay under a stated bound, and no more requests reach the origin
than the budget lets through.
"""

import dataclasses
import itertools
import socket
from collections.abc import Callable

import pytest
from harness.frames import (
    ACK, CONTINUATION, DATA, END_HEADERS, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, MOST_WINDOW, NONE, PADDED, PREFACE,
    PRIORITY, PRIORITY_UPDATE, RST_STREAM, WITH_PRIORITY, Peer, code_name, data, fields, frame, goaway, headers, integer,
    ping, priority, request, request_fields, reset, settings, window,
)  # fmt: skip
from harness.process import wait_until
from harness.scripted import ok

FLOODS = "sallyport_h2_flood_protection_total"
CLOSED = "sallyport_connection_closed_total"
CONNECTIONS = 10  # that each attack is made over, one after the other
STREAMS = 100  # limits.h2.streams
BUFFER = 64 + 64 + 64  # KiB of a response that a stream holds: its credit, a read, and what growing leaves
SPARE = 8 * 1024  # KiB that any attack here may cost beside what streams hold

SHUT = settings((INITIAL_WINDOW_SIZE, 0))  # responses stay unsent, their streams open
GET = fields(*request_fields("/x"))
POST = request(1, "/x", method="POST", end=False)
HEAD_BEGUN = headers(1, GET, True, NONE)
BAD = ("te", "gzip")  # costs its stream


def configure(config):
    config["timeouts"]["send"] = "3s"  # 60s by default


@dataclasses.dataclass
class Flood:
    kind: str  # of the counter
    nth: Callable[[int], bytes]  # what is sent over and over; the number of a fresh stream
    budget: int  # how often it may be sent at once
    begin: bytes = b""
    requests: int = 1  # that may reach the origin, a connection
    cost: float = 5.0  # CPU microseconds for each attack byte, at most
    greet: bool = True
    burst: int = 1 << 30  # frames sent without waiting


def each(sent: bytes) -> Callable[[int], bytes]:
    return lambda stream: sent


def reset_provoked(sent: Callable[[int], bytes], requests: int = 200 + STREAMS, **more) -> Flood:
    return Flood("provoked_reset", sent, 200, SHUT, requests, burst=STREAMS - 10, **more)


def bomb(stream: int) -> bytes:
    """One field of 3,000 octets into the table, then references to it of one octet each: 9 MB of fields."""
    return headers(stream, GET + fields(("x", "b" * 3000), first=0x40) + b"\xbe" * 3000)


FRAMES = {
    "rapid reset": Flood("rapid_reset", lambda s: request(s, "/x") + reset(s), 200, requests=260),
    "rapid reset of uploads": Flood(
        "rapid_reset", lambda s: request(s, "/x", method="POST", end=False) + data(s, b"x") + reset(s), 200,
        requests=260),
    "RST_STREAM on closed streams": Flood("rapid_reset", each(reset(1)), 200, request(1, "/reply") + reset(1)),
    "CONTINUATION": Flood("continuation", each(frame(CONTINUATION, NONE, 1, fields(("x", "1")))), 64, HEAD_BEGUN),
    "CONTINUATION of a refused head": Flood(
        "continuation", each(frame(CONTINUATION, NONE, 1, fields(("x", "1")))), 64,
        headers(1, GET + fields(BAD), True, NONE)),
    "CONTINUATION of a head too large": Flood(
        "continuation", each(frame(CONTINUATION, NONE, 1, fields(("x", "1" * 10000)))), 64, HEAD_BEGUN),
    "CONTINUATION of half a field": Flood(
        "continuation", each(frame(CONTINUATION, NONE, 1, b"x")), 64,
        headers(1, GET + b"\x00\x7f\x80\x7e", True, NONE)),
    "empty CONTINUATION": Flood("continuation", each(frame(CONTINUATION, NONE, 1)), 64, HEAD_BEGUN),
    "SETTINGS": Flood("settings", each(settings()), 20),
    "SETTINGS that change all windows": Flood(
        "settings", lambda s: settings((INITIAL_WINDOW_SIZE, s)), 20,
        SHUT + b"".join(request(s, "/x") for s in range(1, 2 * STREAMS, 2)), requests=STREAMS),
    "SETTINGS of many entries": Flood("settings", each(settings(*[(0xFE, 0)] * 1000)), 1),
    "PING": Flood("ping", each(ping()), 50),
    "PING that is an answer": Flood("ping", each(ping(flags=ACK)), 50),
    "PRIORITY": Flood("priority", lambda s: frame(PRIORITY, NONE, s, priority(s - 2)), 500),
    "PRIORITY of one stream": Flood("priority", each(frame(PRIORITY, NONE, 3, priority(1))), 500),
    "PRIORITY that depends on itself": Flood("priority", lambda s: frame(PRIORITY, NONE, s, priority(s)), 500),
    "PRIORITY_UPDATE": Flood(
        "priority", lambda s: frame(PRIORITY_UPDATE, NONE, 0, s.to_bytes(4, "big") + b"u=1"), 500),
    "empty DATA": Flood("empty_frames", each(data(1)), 100, POST),
    "DATA of padding": Flood("empty_frames", each(frame(DATA, PADDED, 1, b"\x09" + bytes(9))), 100, POST),
    "empty HEADERS": Flood(
        "empty_frames",
        lambda s: frame(HEADERS, NONE, s) + frame(CONTINUATION, END_HEADERS, s, fields(*request_fields("/reply"))),
        100, requests=0, burst=STREAMS - 10),
    "WINDOW_UPDATE of the connection": Flood("window_update", each(window(0, 1)), 2000),
    "WINDOW_UPDATE of a stream": Flood("window_update", each(window(1, 1)), 2000, POST),
    "WINDOW_UPDATE of closed streams": Flood(
        "window_update", each(window(1, 1)), 2000, request(1, "/reply") + reset(1)),
    "unknown frames": Flood("unknown_frames", each(frame(0xBE, 0xFF, 1, b"?")), 256),
    "GOAWAY": Flood("unknown_frames", each(goaway()), 256, POST),
    "streams above a limit that it has not acknowledged": Flood(
        "provoked_reset", lambda s: request(s, "/x"), 200 + STREAMS, SHUT, STREAMS, greet=False),
    # The first one is malformed and reset by us; the client never ends it.
    "HEADERS of a stream that is gone": Flood(
        "unknown_frames", each(headers(1, fields(("x", "1")), False)), 256, headers(1, GET + fields(BAD), False),
        burst=100),
}  # fmt: skip

# Each opens a stream, has its request under way where it can, and makes us reset it (MadeYouReset).
PROVOKED = {
    "a connection-specific field": reset_provoked(lambda s: request(s, "/x", BAD)),
    "a window above its limit": reset_provoked(lambda s: request(s, "/x") + window(s, MOST_WINDOW) + window(s, 1)),
    "content-length below the DATA": reset_provoked(
        lambda s: request(s, "/x", ("content-length", "1"), method="POST", end=False) + data(s, b"four")),
    "content-length above the DATA": reset_provoked(
        lambda s: request(s, "/x", ("content-length", "9"), method="POST", end=False) + data(s, b"four", True)),
    "malformed trailers": reset_provoked(
        lambda s: request(s, "/x", method="POST", end=False) + headers(s, fields((":path", "/")))),
    "Host against :authority": reset_provoked(lambda s: request(s, "/x", ("host", "calm.test"))),
    "HPACK bomb": reset_provoked(bomb, 0),
    "a head of many fields": reset_provoked(
        lambda s: headers(s, GET + fields(("x", "1"), first=0x40) + b"\xbe" * 9000), 0),
}  # fmt: skip

# Those that are no matter of a budget: the first one ends the connection.
AT_ONCE = {
    "WINDOW_UPDATE of 0 on a stream": (SHUT + request(1, "/x") + window(1, 0), "GOAWAY PROTOCOL_ERROR"),
    "WINDOW_UPDATE of 0": (window(0, 0), "GOAWAY PROTOCOL_ERROR"),
    "DATA behind its end": (SHUT + request(1, "/x") + data(1, b"x"), "GOAWAY STREAM_CLOSED"),
    "DATA behind its reset": (POST + reset(1) + data(1, b"x"), "GOAWAY STREAM_CLOSED"),
    "HEADERS behind their end": (SHUT + request(1, "/x") + request(1, "/x"), "GOAWAY STREAM_CLOSED"),
    "HEADERS that depend on themselves": (
        headers(1, priority(1) + GET, True, END_HEADERS | WITH_PRIORITY), "GOAWAY PROTOCOL_ERROR"),
    "an integer without end": (headers(1, GET + b"\x7f" + b"\xff" * 1000), "GOAWAY COMPRESSION_ERROR"),
    "an integer of 2^31": (headers(1, GET + integer(1 << 31, 7, 0x80)), "GOAWAY COMPRESSION_ERROR"),
    "a string of a gigabyte": (headers(1, GET + b"\x00\x01x" + integer(1 << 30, 7)), "GOAWAY COMPRESSION_ERROR"),
    "a table of a gigabyte": (headers(1, integer(1 << 30, 5, 0x20) + GET), "GOAWAY COMPRESSION_ERROR"),
    "streams above a limit that it has seen": (
        SHUT + b"".join(request(s, "/x") for s in range(1, 2 * STREAMS + 2, 2)), "GOAWAY PROTOCOL_ERROR"),
}  # fmt: skip


numbers = itertools.count(1)


def attacker(arena, *own_settings, **more) -> Peer:
    """A connection from an address that nobody else has: what is shown here is a connection's own."""
    number = next(numbers)
    source = (f"127.1.{number >> 8}.{number & 255}", 0)
    connection = socket.create_connection(("127.0.0.1", arena.gateway.port("http")), 20.0, source)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Peer(connection, *own_settings, **more)


def attack(arena, flood: Flood) -> int:
    """One connection, to twice the budget; the octets that went into the budget itself."""
    begin = flood.begin if flood.greet else PREFACE + flood.begin
    frames = [flood.nth(3 + 2 * n) for n in range(2 * flood.budget + 10)]
    with attacker(arena, greet=flood.greet) as peer:
        peer.send(begin)
        for at in range(0, len(frames), flood.burst):
            # Never more streams at once than are allowed: that alone would end the connection.
            if not peer.send(*frames[at : at + flood.burst]) or len(frames) > flood.burst and not peer.answers_ping():
                break
        peer.drain()
        assert [code_name(f.word(4)) for f in peer.seen if f.kind == GOAWAY] == ["ENHANCE_YOUR_CALM"], peer.seen[-3:]
    return len(begin) + sum(map(len, frames[: flood.budget + 1]))


@pytest.fixture(scope="module")
def settled(arena):
    """The arena, and its memory once all that is made once has been made."""
    for flood in (FRAMES["rapid reset"], FRAMES["PING"], PROVOKED["a window above its limit"]):
        attack(arena, flood)
    arena.rss = arena.gateway.rss_kib()
    return arena


def memory_is_bounded(arena, what: str, spare: int = SPARE):
    grown = arena.gateway.rss_kib() - arena.rss
    print(f"attack memory: {what}: {grown} KiB more than at rest (bound {spare})")
    assert grown <= spare or arena.sanitized


@pytest.mark.parametrize("name", [*FRAMES, *PROVOKED])
def test_a_flood_is_ended_counted_and_costs_little(settled, name):
    arena, flood = settled, (FRAMES | PROVOKED)[name]
    with arena.moved(FLOODS, CONNECTIONS, kind=flood.kind), arena.cost(name, flood.cost) as cost:
        for _ in range(CONNECTIONS):
            cost.bytes += attack(arena, flood)
    assert len(arena.reached()) <= CONNECTIONS * flood.requests
    memory_is_bounded(arena, name)


@pytest.mark.parametrize("name", AT_ONCE)
def test_what_no_peer_does_ends_the_connection_at_once(settled, name):
    arena, (sent, expected) = settled, AT_ONCE[name]
    with arena.cost(name, 5.0) as cost:
        for _ in range(CONNECTIONS):
            with attacker(arena) as peer:
                peer.send(sent)
                assert peer.outcome(1, heads=False) == expected
                peer.drain()
                cost.bytes += peer.sent
    assert len(arena.reached()) <= CONNECTIONS * STREAMS
    memory_is_bounded(arena, name)


# ---- what costs, and is allowed --------------------------------------------------------------

UPDATES = integer(0, 5, 0x20) + integer(4096, 5, 0x20)
HEADS = {
    "table size updates": (headers(1, UPDATES * 3900 + GET), "200", 1),
    "fields that evict each other": (
        headers(1, GET + b"".join(fields((f"x{n}", "v" * 400), first=0x40) for n in range(38))), "200", 1),
    "references to one large field, within the limits": (
        headers(1, GET + fields(("x", "b" * 500), first=0x40) + b"\xbe" * 100), "200", 1),
    "Huffman text": (headers(1, GET + fields(("x", "0" * 12000), huffman=True)), "200", 1),
    "crumbs of a cookie": (headers(1, GET + fields(("cookie", "a=b")) * 1000), "200", 1),
    "one field too many": (headers(1, GET + fields(("x", "1")) * 129), "431", 0),
    "a field too large": (headers(1, GET + fields(("x", "1" * 20000), huffman=True)), "431", 0),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADS)
def test_a_costly_head_costs_little(settled, name):
    """No more than one request is worth, whatever its field section does to the decoder."""
    arena, (sent, expected, requests) = settled, HEADS[name]
    with arena.cost(name, 5.0) as cost:
        for _ in range(CONNECTIONS):
            with attacker(arena) as peer:
                peer.send(sent)
                assert peer.outcome(1) == expected
                cost.bytes += peer.sent
    assert len(arena.reached()) == CONNECTIONS * requests
    memory_is_bounded(arena, name)


def test_answers_that_nobody_reads_stop_at_the_budget(settled):
    """PING and SETTINGS are answered into a socket that is never read: no more than the budget's worth."""
    arena = settled
    with arena.moved(FLOODS, kind="ping"), attacker(arena) as peer:
        peer.send(*(ping() for _ in range(5000)))
    memory_is_bounded(arena, "answers not read")


def test_every_connection_ended_for_a_flood_is_closed_as_abuse(settled):
    """A budget is a connection's. A peer that comes again to spend the next is judged by its address, and
    this is the word that it is judged by (limits.abuse)."""
    arena = settled
    before = arena.counter(CLOSED, by="abuse")
    for _ in range(CONNECTIONS):
        attack(arena, FRAMES["PING"])
    arena.gateway.wait_metric(CLOSED, before + CONNECTIONS, by="abuse")


# ---- readers that take little: last, for the memory that they took is not given back to the system

BODY = 1 << 20
READERS = 2  # connections, of STREAMS each


def held() -> int:
    """KiB at most."""
    return READERS * STREAMS * BUFFER + SPARE


def hungry(arena) -> list[Peer]:
    """Connections that ask for much on every stream and take nothing."""
    arena.origin.answer = lambda seen: ok(b"x" * BODY)
    peers = [attacker(arena, (INITIAL_WINDOW_SIZE, 0)) for _ in range(READERS)]
    for peer in peers:
        peer.send(*(request(s, "/x") for s in range(1, 2 * STREAMS, 2)))
        for s in range(1, 2 * STREAMS, 2):
            while not peer.status(s):
                assert peer.read()
    return peers


def test_readers_that_take_nothing_hold_no_more_than_their_buffers_and_not_for_long(settled):
    """A window of zero: 1 MiB asked for on each stream, a window of it held; timeouts.send ends the wait."""
    arena = settled
    peers = hungry(arena)
    memory_is_bounded(arena, "zero windows", held())
    for peer in peers:
        codes = [code_name(peer.next(RST_STREAM).word()) for _ in range(STREAMS)]
        assert codes == ["CANCEL"] * STREAMS
        assert not peer.bodies
        peer.socket.close()
    running = "sallyport_http_requests_in_flight"
    wait_until(lambda: not arena.counter(running, route="localhost/"), "the end of the exchanges")


def test_readers_that_take_an_octet_at_a_time_hold_no_more_either(settled):
    """Until the least rate cuts them off they cost what an octet costs, and hold what the others hold."""
    arena = settled
    peers = hungry(arena)
    with arena.cost("one octet a window", 3.0) as cost:
        for turn in range(1, 11):
            for peer in peers:
                before = peer.sent
                peer.send(*(window(s, 1) for s in range(1, 2 * STREAMS, 2)))
                cost.bytes += peer.sent - before
                while sum(map(len, peer.bodies.values())) < turn * STREAMS:
                    assert peer.read()
    assert all(len(body) == turn for peer in peers for body in peer.bodies.values())
    memory_is_bounded(arena, "one-octet windows", held())
    for peer in peers:
        peer.socket.close()
