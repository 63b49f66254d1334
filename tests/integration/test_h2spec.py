"""RFC 9113 and RFC 7541 rule by rule, in the order and to the extent of h2spec's sections (generic
and http2 3 to 5; 6 to 8 and hpack are in the files beside this one), over TLS and by prior knowledge:
a peer that breaks a rule gets the answer that the RFC states, one that keeps it is served.

Proves that no frame, in no state of a stream, is taken for something that it is not.
"""

import struct

import pytest
from harness.frames import (
    CONTINUATION, END_HEADERS, END_STREAM, HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, NONE, PADDED, PING, PREFACE, PRIORITY,
    DATA, SETTINGS, WITH_PRIORITY, data, fields, frame, goaway, headers, integer, ping, priority, request,
    request_fields, reset, settings, string, window,
)  # fmt: skip
from harness.h2spec import ended, verify

LISTENERS = pytest.mark.parametrize("listener", ["https", "http"])
GET = fields(*request_fields())
POST = request(1, "/upload", method="POST", end=False)
HALF = len(GET) // 2
# Streams stay open for as long as the gateway may not send their response's body.
SHUT = settings((INITIAL_WINDOW_SIZE, 0))
DUMMY = fields(("x-dummy", "1" * 100))


def upload(*frames: bytes) -> bytes:
    return POST + b"".join(frames)


def literal(first: int, prefix: int, huffman: bool) -> bytes:
    """:scheme by the static table's name, then a value."""
    return headers(1, fields((":method", "GET")) + integer(6, prefix, first) + string(b"https", huffman)
                   + fields((":path", "/bytes/10"), (":authority", "localhost")))  # fmt: skip


def renamed(first: int, huffman: bool) -> bytes:
    """A field with a name of its own."""
    return headers(1, GET + fields(("x-new", "value"), first=first, huffman=huffman))


GENERIC = {
    "1/1 preface": (b"", "alive"),
    "2/1 PRIORITY on an idle stream": (frame(PRIORITY, NONE, 1, priority()), "alive"),
    "2/3 PRIORITY on a half-closed stream": (request() + frame(PRIORITY, NONE, 1, priority()), "200"),
    "2/4 RST_STREAM on a half-closed stream": (SHUT + request() + reset(1), "alive"),
    "2/5 PRIORITY on a closed stream": ([request(), ended(1), frame(PRIORITY, NONE, 1, priority())], "alive"),
    "3.1/1 DATA": (upload(data(1, b"test", True)), "200"),
    "3.1/2 several DATA": (upload(data(1, b"test"), data(1, b"test", True)), "200"),
    "3.1/3 DATA with padding": (upload(frame(DATA, END_STREAM | PADDED, 1, b"\x06test" + bytes(6))), "200"),
    "3.2/1 HEADERS": (request(), "200"),
    "3.2/2 HEADERS with padding": (headers(1, b"\x06" + GET + bytes(6), True, END_HEADERS | PADDED), "200"),
    "3.2/3 HEADERS with priority": (headers(1, priority(0, 256) + GET, True, END_HEADERS | WITH_PRIORITY), "200"),
    "3.3/1 PRIORITY, weight 1": (frame(PRIORITY, NONE, 1, priority(0, 1)) + request(), "200"),
    "3.3/2 PRIORITY, weight 256": (frame(PRIORITY, NONE, 1, priority(0, 256)) + request(), "200"),
    "3.3/3 PRIORITY with a dependency": (frame(PRIORITY, NONE, 1, priority(3, 256)) + request(), "200"),
    "3.3/4 PRIORITY, exclusive": (frame(PRIORITY, NONE, 1, priority(3, 256, True)) + request(), "200"),
    "3.3/5 PRIORITY on an idle stream opens none below": (frame(PRIORITY, NONE, 3, priority(0, 16)) + request(), "200"),
    "3.4/1 RST_STREAM": (request(end=False) + reset(1), "alive"),
    "3.5/1 SETTINGS": (settings((HEADER_TABLE_SIZE, 4096)), "alive"),
    "3.7/1 PING": (ping(), "alive"),
    "3.8/1 GOAWAY": (goaway(), "alive | closed"),
    "3.9/1 WINDOW_UPDATE for the connection": (window(0, 1), "alive"),
    "3.9/2 WINDOW_UPDATE for a stream": (SHUT + request() + window(1, 1), "200"),
    "3.10/1 CONTINUATION": (
        headers(1, GET[:HALF], True, NONE) + frame(CONTINUATION, END_HEADERS, 1, GET[HALF:]), "200"),
    "3.10/2 several CONTINUATION": (
        headers(1, GET[:HALF], True, NONE) + frame(CONTINUATION, NONE, 1, GET[HALF:] + DUMMY)
        + frame(CONTINUATION, END_HEADERS, 1, DUMMY), "200"),
    "4/1 GET": (request(), "200"),
    "4/2 HEAD": (request(method="HEAD"), "200"),
    "4/3 POST": (upload(data(1, b"test", True)), "200"),
    "4/4 POST with trailers": (upload(data(1, b"test"), headers(1, fields(("x-sum", "test")))), "200"),
    "5/1 indexed": (headers(1, b"\x82\x87" + fields((":path", "/bytes/10"), (":authority", "localhost"))), "200"),
    "5/2 indexing, indexed name": (literal(0x40, 6, False), "200"),
    "5/3 indexing, indexed name, Huffman": (literal(0x40, 6, True), "200"),
    "5/4 indexing, new name": (renamed(0x40, False), "200"),
    "5/5 indexing, new name, Huffman": (renamed(0x40, True), "200"),
    "5/6 not indexed, indexed name": (literal(0x00, 4, False), "200"),
    "5/7 not indexed, indexed name, Huffman": (literal(0x00, 4, True), "200"),
    "5/8 not indexed, new name": (renamed(0x00, False), "200"),
    "5/9 not indexed, new name, Huffman": (renamed(0x00, True), "200"),
    "5/10 never indexed, indexed name": (literal(0x10, 4, False), "200"),
    "5/11 never indexed, indexed name, Huffman": (literal(0x10, 4, True), "200"),
    "5/12 never indexed, new name": (renamed(0x10, False), "200"),
    "5/13 never indexed, new name, Huffman": (renamed(0x10, True), "200"),
    "5/14 a table size update": (headers(1, integer(128, 5, 0x20) + GET), "200"),
    "5/15 two table size updates": (headers(1, integer(128, 5, 0x20) + integer(4096, 5, 0x20) + GET), "200"),
}  # fmt: skip

SECTIONS_3_TO_5 = {
    "4.1/1 unknown type": (frame(0xFE, NONE, 0, bytes(8)), "alive"),
    "4.1/2 undefined flags": (frame(PING, 0x16, 0, b"12345678"), "alive"),
    "4.1/3 the reserved bit": (frame(PING, NONE, 0x80000000, b"12345678"), "alive"),
    "4.2/1 DATA of 2^14": (upload(data(1, bytes(16384), True)), "200"),
    "4.2/2 DATA above the limit": (upload(data(1, bytes(16385), True)), "GOAWAY FRAME_SIZE_ERROR"),
    "4.2/3 HEADERS above the limit": (headers(1, GET + DUMMY * 150), "GOAWAY FRAME_SIZE_ERROR"),
    "4.3/1 a field section that is none": (headers(1, b"\x40"), "GOAWAY COMPRESSION_ERROR"),
    "4.3/2 PRIORITY inside a field section": (
        headers(1, GET, True, NONE) + frame(PRIORITY, NONE, 1, priority()) + frame(CONTINUATION, END_HEADERS, 1, DUMMY),
        "GOAWAY PROTOCOL_ERROR"),
    "4.3/3 HEADERS of another stream inside a field section": (
        headers(1, GET, True, NONE) + request(3) + frame(CONTINUATION, END_HEADERS, 1, DUMMY), "GOAWAY PROTOCOL_ERROR"),
    "5.1/1 idle: DATA": (data(1, b"test", True), "GOAWAY PROTOCOL_ERROR | GOAWAY STREAM_CLOSED"),
    "5.1/2 idle: RST_STREAM": (reset(1), "GOAWAY PROTOCOL_ERROR"),
    "5.1/3 idle: WINDOW_UPDATE": (window(1, 100), "GOAWAY PROTOCOL_ERROR"),
    "5.1/4 idle: CONTINUATION": (frame(CONTINUATION, END_HEADERS, 1, GET), "GOAWAY PROTOCOL_ERROR"),
    "5.1/5 half-closed: DATA": (
        SHUT + request() + data(1, b"test", True), "RST_STREAM STREAM_CLOSED | GOAWAY STREAM_CLOSED"),
    "5.1/6 half-closed: HEADERS": (SHUT + request() + request(), "RST_STREAM STREAM_CLOSED | GOAWAY STREAM_CLOSED"),
    "5.1/7 half-closed: CONTINUATION": (
        SHUT + request() + frame(CONTINUATION, END_HEADERS, 1, DUMMY), "GOAWAY STREAM_CLOSED | GOAWAY PROTOCOL_ERROR"),
    "5.1/8 reset: DATA": (
        request(end=False) + reset(1) + data(1, b"test", True), "RST_STREAM STREAM_CLOSED | GOAWAY STREAM_CLOSED"),
    "5.1/9 reset: HEADERS": (
        request(end=False) + reset(1) + request(), "RST_STREAM STREAM_CLOSED | GOAWAY STREAM_CLOSED"),
    "5.1/10 reset: CONTINUATION": (
        request(end=False) + reset(1) + frame(CONTINUATION, END_HEADERS, 1, DUMMY),
        "GOAWAY STREAM_CLOSED | GOAWAY PROTOCOL_ERROR"),
    "5.1/11 closed: DATA": ([request(), ended(1), data(1, b"test", True)], "GOAWAY STREAM_CLOSED"),
    "5.1/12 closed: HEADERS": ([request(), ended(1), request()], "GOAWAY STREAM_CLOSED"),
    "5.1/13 closed: CONTINUATION": (
        [request(), ended(1), frame(CONTINUATION, END_HEADERS, 1, DUMMY)],
        "GOAWAY STREAM_CLOSED | GOAWAY PROTOCOL_ERROR"),
    "5.1.1/1 an even stream number": (request(2), "GOAWAY PROTOCOL_ERROR"),
    "5.1.1/2 a number below the last one": (request(5) + request(3), "GOAWAY PROTOCOL_ERROR"),
    "5.3.1/1 HEADERS that depends on itself": (
        headers(1, priority(1, 256) + GET, True, END_HEADERS | WITH_PRIORITY),
        "RST_STREAM PROTOCOL_ERROR | GOAWAY PROTOCOL_ERROR"),
    # An error in RFC 7540 (§5.3.1) alone; RFC 9113 §5.3.2 has no use for what it says.
    "5.3.1/2 PRIORITY that depends on itself": (request() + frame(PRIORITY, NONE, 1, priority(1, 256)), "200"),
    "5.4.1/1 a connection error closes": (frame(PING, NONE, 0, b"123456"), "GOAWAY FRAME_SIZE_ERROR"),
    "5.5/1 an unknown frame": (frame(0x16, NONE, 0, bytes(8)), "alive"),
    "5.5/2 an unknown frame inside a field section": (
        headers(1, GET, True, NONE) + frame(0x16, NONE, 0, bytes(8)) + frame(CONTINUATION, END_HEADERS, 1, DUMMY),
        "GOAWAY PROTOCOL_ERROR"),
}  # fmt: skip

# Behind a good head, so that only the field under test can be at fault.
HPACK = {
    "2.3.3/1 an index beyond the tables": (integer(70, 7, 0x80), "GOAWAY COMPRESSION_ERROR"),
    "2.3.3/2 a name's index beyond the tables": (integer(70, 6, 0x40) + string(b"x"), "GOAWAY COMPRESSION_ERROR"),
    "4.2/1 a table size update at the end": (integer(0, 5, 0x20), "GOAWAY COMPRESSION_ERROR"),
    "5.2/1 Huffman padding above 7 bits": (b"\x00\x01x\x82\x1f\xff", "GOAWAY COMPRESSION_ERROR"),
    "5.2/2 Huffman padding of zeros": (b"\x00\x01x\x81\x18", "GOAWAY COMPRESSION_ERROR"),
    "5.2/3 the Huffman EOS": (b"\x00\x01x\x84\xff\xff\xff\xff", "GOAWAY COMPRESSION_ERROR"),
    "6.1/1 index 0": (b"\x80", "GOAWAY COMPRESSION_ERROR"),
}  # fmt: skip


@LISTENERS
@pytest.mark.parametrize("name", GENERIC)
def test_what_every_peer_may_do(raw_h2, listener, name):
    steps, expected = GENERIC[name]
    with raw_h2(listener) as peer:
        if expected == "alive | closed":  # both are right after the peer's own GOAWAY
            peer.send(steps)
            assert peer.answers_ping() or peer.closed
        else:
            verify(peer, steps, expected)


@LISTENERS
@pytest.mark.parametrize("name", SECTIONS_3_TO_5)
def test_framing_and_streams(raw_h2, listener, name):
    with raw_h2(listener) as peer:
        verify(peer, *SECTIONS_3_TO_5[name])


@LISTENERS
@pytest.mark.parametrize("name", HPACK)
def test_hpack(raw_h2, listener, name):
    section, expected = HPACK[name]
    with raw_h2(listener) as peer:
        verify(peer, headers(1, GET + section), expected)


@LISTENERS
def test_hpack_6_3_1_a_table_larger_than_we_allow(raw_h2, listener):
    with raw_h2(listener) as peer:
        verify(peer, headers(1, integer(4097, 5, 0x20) + GET), "GOAWAY COMPRESSION_ERROR")


@LISTENERS
def test_generic_2_2_a_window_update_on_a_half_closed_stream_opens_it(raw_h2, listener):
    with raw_h2(listener, (INITIAL_WINDOW_SIZE, 0)) as peer:
        verify(peer, request(), "200")
        assert not peer.bodies
        peer.send(window(1, 10))
        peer.until_end(1)
        assert len(peer.bodies[1]) == 10


@LISTENERS
def test_http2_3_5_1_the_server_speaks_settings_first(raw_h2, listener):
    with raw_h2(listener, greet=False) as peer:
        peer.send(PREFACE, settings())
        first = peer.read()
        assert (first.kind, first.flags, first.stream) == (SETTINGS, NONE, 0)


@LISTENERS
@pytest.mark.parametrize("sent", [b"INVALID CONNECTION PREFACE\r\n\r\n", PREFACE[:-1] + b"x" + settings()],
                         ids=["other", "last octet"])  # fmt: skip
def test_http2_3_5_2_another_preface_ends_the_connection(raw_h2, listener, sent):
    """In clear text a connection that does not open with the preface is HTTP/1.1, and a bad one."""
    with raw_h2(listener, greet=False) as peer:
        peer.socket.sendall(sent)
        if listener == "http":
            assert peer.socket.recv(10) in (b"HTTP/1.1 4", b"HTTP/1.1 5")
            while peer.socket.recv(65536):
                pass
        else:
            assert peer.outcome() in ("GOAWAY PROTOCOL_ERROR", "closed")
            peer.drain()


@LISTENERS
def test_http2_5_1_2_streams_above_the_limit(raw_h2, listener):
    """A client that has seen the limit and acknowledged it has no excuse."""
    with raw_h2(listener, (INITIAL_WINDOW_SIZE, 0)) as peer:
        peer.send(*(request(stream) for stream in range(1, 203, 2)))
        assert peer.outcome(201) in ("RST_STREAM REFUSED_STREAM", "GOAWAY PROTOCOL_ERROR")


@LISTENERS
def test_http2_5_1_2_streams_above_a_limit_not_seen_yet_are_refused_and_the_others_served(raw_h2, listener):
    """The client's first requests cross our SETTINGS: those too many may be tried again, none is lost."""
    with raw_h2(listener, greet=False) as peer:
        streams = range(1, 203, 2)
        peer.send(PREFACE, SHUT, *(request(stream) for stream in streams))
        assert peer.outcome(streams[-1]) == "RST_STREAM REFUSED_STREAM"
        peer.send(*(window(stream, 10) for stream in streams[:-1]))
        for stream in streams[:-1]:
            while len(peer.bodies.get(stream, b"")) < 10:
                assert peer.read(), peer.seen[-1]
            assert peer.status(stream) == "200"


@LISTENERS
def test_http2_5_4_1_2_the_goaway_names_the_last_stream(raw_h2, listener):
    with raw_h2(listener) as peer:
        peer.send(request())
        peer.until_end(1)
        peer.send(frame(PING, NONE, 0, b"123456"))
        assert peer.outcome() == "GOAWAY FRAME_SIZE_ERROR"
        assert peer.seen[-1].word() == 1
        assert struct.calcsize("!LL") <= len(peer.seen[-1].payload)
