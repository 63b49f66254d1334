"""RFC 9113 rule by rule, in the order and to the extent of h2spec's sections http2 6 to 8: each frame's
definition, the error codes, and how a request may look. Over TLS and by prior knowledge.

Proves that a malformed frame or request is answered by the error that the RFC names, on the stream
where the RFC allows that, and that flow control is kept to the octet.
"""

import struct

import pytest
from harness.frames import (
    ACK, CONTINUATION, DATA, ENABLE_PUSH, END_HEADERS, END_STREAM, GOAWAY, INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, MOST_WINDOW, NONE, PADDED, PING, PRIORITY, PUSH_PROMISE, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, data, fields, frame, goaway, headers, ping, priority, request, request_fields, reset,
    settings, window,
)  # fmt: skip
from harness.h2spec import verify

LISTENERS = pytest.mark.parametrize("listener", ["https", "http"])
GET = fields(*request_fields())
HALF = len(GET) // 2
POST = request(1, "/upload", method="POST", end=False)
SHUT = settings((INITIAL_WINDOW_SIZE, 0))  # keeps streams open: no body may be sent
DUMMY = fields(("x-dummy", "1" * 100))
LAST_DUMMY = frame(CONTINUATION, END_HEADERS, 1, DUMMY)
PROTOCOL = "GOAWAY PROTOCOL_ERROR"
FRAME_SIZE = "GOAWAY FRAME_SIZE_ERROR"
FLOW = "GOAWAY FLOW_CONTROL_ERROR"
MALFORMED = "RST_STREAM PROTOCOL_ERROR"


def asked(*more, **changed) -> bytes:
    return request(1, changed.pop("path", "/bytes/10"), *more, **changed)


def counted(length: int, *frames: bytes) -> bytes:
    return request(1, "/upload", ("content-length", str(length)), method="POST", end=False) + b"".join(frames)


SECTION_6 = {
    "6.1/1 DATA on stream 0": (data(0, b"test", True), PROTOCOL),
    "6.1/2 DATA on a half-closed stream": (
        SHUT + request() + data(1, b"test", True), "RST_STREAM STREAM_CLOSED | GOAWAY STREAM_CLOSED"),
    "6.1/3 DATA, too much padding": (POST + frame(DATA, END_STREAM | PADDED, 1, b"\x06test"), PROTOCOL),
    "6.2/1 HEADERS, then PRIORITY": (
        headers(1, GET, True, NONE) + frame(PRIORITY, NONE, 1, priority()) + LAST_DUMMY, PROTOCOL),
    "6.2/2 HEADERS, then HEADERS of another stream": (headers(1, GET, True, NONE) + request(3) + LAST_DUMMY, PROTOCOL),
    "6.2/3 HEADERS on stream 0": (request(0), PROTOCOL),
    "6.2/4 HEADERS, too much padding": (
        headers(1, bytes([len(GET) + 2]) + GET, True, END_HEADERS | PADDED), PROTOCOL),
    "6.3/1 PRIORITY on stream 0": (frame(PRIORITY, NONE, 0, priority()), PROTOCOL),
    "6.3/2 PRIORITY of 4 octets": (
        SHUT + request() + frame(PRIORITY, NONE, 1, priority()[:4]), "RST_STREAM FRAME_SIZE_ERROR | " + FRAME_SIZE),
    "6.4/1 RST_STREAM on stream 0": (reset(0), PROTOCOL),
    "6.4/2 RST_STREAM on an idle stream": (reset(1), PROTOCOL),
    "6.4/3 RST_STREAM of 3 octets": (SHUT + request() + frame(RST_STREAM, NONE, 1, bytes(3)), FRAME_SIZE),
    "6.5/1 SETTINGS, ACK with a payload": (frame(SETTINGS, ACK, 0, struct.pack("!HL", 1, 4096)), FRAME_SIZE),
    "6.5/2 SETTINGS on stream 1": (frame(SETTINGS, NONE, 1, struct.pack("!HL", 3, 100)), PROTOCOL),
    "6.5/3 SETTINGS of 3 octets": (frame(SETTINGS, NONE, 0, bytes(3)), FRAME_SIZE),
    "6.5.2/1 ENABLE_PUSH of 2": (settings((ENABLE_PUSH, 2)), PROTOCOL),
    "6.5.2/2 INITIAL_WINDOW_SIZE of 2^31": (settings((INITIAL_WINDOW_SIZE, MOST_WINDOW + 1)), FLOW),
    "6.5.2/3 MAX_FRAME_SIZE of 16383": (settings((MAX_FRAME_SIZE, 16383)), PROTOCOL),
    "6.5.2/4 MAX_FRAME_SIZE of 2^24": (settings((MAX_FRAME_SIZE, 1 << 24)), PROTOCOL),
    "6.5.2/5 an unknown setting": (settings((0xFF, 0)), "alive"),
    "6.7/3 PING on stream 1": (frame(PING, NONE, 1, bytes(8)), PROTOCOL),
    "6.7/4 PING of 6 octets": (frame(PING, NONE, 0, bytes(6)), FRAME_SIZE),
    "6.8/1 GOAWAY on stream 1": (frame(GOAWAY, NONE, 1, bytes(8)), PROTOCOL),
    "6.9/1 WINDOW_UPDATE of 0": (window(0, 0), PROTOCOL),
    "6.9/2 WINDOW_UPDATE of 0 on a stream": (SHUT + request() + window(1, 0), MALFORMED + " | " + PROTOCOL),
    "6.9/3 WINDOW_UPDATE of 3 octets": (frame(WINDOW_UPDATE, NONE, 0, bytes(3)), FRAME_SIZE),
    "6.9.1/2 a connection window above 2^31-1": (window(0, MOST_WINDOW) + window(0, MOST_WINDOW), FLOW),
    "6.9.1/3 a stream window above 2^31-1": (
        SHUT + request() + window(1, MOST_WINDOW) + window(1, MOST_WINDOW), "RST_STREAM FLOW_CONTROL_ERROR"),
    "6.9.2/3 an initial window above 2^31-1": (settings((INITIAL_WINDOW_SIZE, 0xFFFFFFFF)), FLOW),
    "6.10/1 several CONTINUATION": (
        headers(1, GET[:HALF], True, NONE) + frame(CONTINUATION, NONE, 1, GET[HALF:]) + LAST_DUMMY, "200"),
    "6.10/2 CONTINUATION, then DATA": (
        headers(1, GET, False, NONE) + frame(CONTINUATION, NONE, 1, DUMMY) + data(1, b"test", True), PROTOCOL),
    "6.10/3 CONTINUATION on stream 0": (headers(1, GET, True, NONE) + frame(CONTINUATION, END_HEADERS, 0, DUMMY),
                                        PROTOCOL),
    "6.10/4 CONTINUATION behind the end of a head": (SHUT + request() + LAST_DUMMY, PROTOCOL),
    "6.10/5 CONTINUATION behind the last CONTINUATION": (
        SHUT + headers(1, GET, True, NONE) + LAST_DUMMY + LAST_DUMMY, PROTOCOL),
    "6.10/6 CONTINUATION behind DATA": (POST + data(1, b"test") + LAST_DUMMY, PROTOCOL),
}  # fmt: skip

SECTIONS_7_AND_8 = {
    "7/2 RST_STREAM with an unknown code": (SHUT + request() + reset(1, 0xFF), "alive"),
    "8.1/1 trailers without END_STREAM": (
        POST + data(1, b"test") + headers(1, fields(("x-test", "ok")), False), MALFORMED + " | " + PROTOCOL),
    "8.1.2/1 an uppercase name": (asked(("X-TEST", "ok")), MALFORMED),
    "8.1.2.1/1 an unknown pseudo-field": (headers(1, GET + fields((":test", "ok"))), MALFORMED),
    "8.1.2.1/2 a response's pseudo-field": (headers(1, GET + fields((":status", "200"))), MALFORMED),
    "8.1.2.1/3 a pseudo-field in the trailers": (
        POST + data(1, b"test") + headers(1, fields((":method", "200"))), MALFORMED),
    "8.1.2.1/4 a pseudo-field behind a field": (
        headers(1, fields((":method", "GET"), (":scheme", "https"), ("x-test", "ok"), (":path", "/"),
                          (":authority", "localhost"))), MALFORMED),
    "8.1.2.2/1 a connection-specific field": (asked(("connection", "keep-alive")), MALFORMED),
    "8.1.2.2/2 TE other than trailers": (asked(("te", "trailers, deflate")), MALFORMED),
    "8.1.2.3/1 an empty :path": (asked(path=""), MALFORMED),
    "8.1.2.3/2 no :method": (asked(method=None), MALFORMED),
    "8.1.2.3/3 no :scheme": (asked(scheme=None), MALFORMED),
    "8.1.2.3/4 no :path": (asked(path=None), MALFORMED),
    "8.1.2.3/5 two :method": (headers(1, fields((":method", "GET")) + GET), MALFORMED),
    "8.1.2.3/6 two :scheme": (headers(1, fields((":scheme", "https")) + GET), MALFORMED),
    "8.1.2.3/7 two :path": (headers(1, fields((":path", "/")) + GET), MALFORMED),
    "8.1.2.6/1 content-length below the DATA": (counted(1, data(1, b"test", True)), MALFORMED),
    "8.1.2.6/2 content-length below the sum of DATA": (counted(1, data(1, b"test"), data(1, b"test", True)), MALFORMED),
    "8.2/1 PUSH_PROMISE": (frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack("!L", 3) + GET), PROTOCOL),
}  # fmt: skip


@LISTENERS
@pytest.mark.parametrize("name", SECTION_6)
def test_frame_definitions(raw_h2, listener, name):
    with raw_h2(listener) as peer:
        verify(peer, *SECTION_6[name])


@LISTENERS
@pytest.mark.parametrize("name", SECTIONS_7_AND_8)
def test_codes_and_requests(raw_h2, listener, name):
    with raw_h2(listener) as peer:
        verify(peer, *SECTIONS_7_AND_8[name])


@LISTENERS
def test_6_5_3_settings_are_acknowledged_and_the_last_value_counts(raw_h2, listener):
    with raw_h2(listener) as peer:
        peer.send(settings((INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)))
        got = peer.next(SETTINGS)
        assert (got.flags, got.payload) == (ACK, b"")
        peer.send(settings((MAX_CONCURRENT_STREAMS, 7)))
        got = peer.next(SETTINGS)
        assert (got.flags, got.payload) == (ACK, b"")
        verify(peer, request(), "200")
        assert peer.body(1, 1) == 1, "one octet fits the last window that was stated"


@LISTENERS
def test_6_7_a_ping_is_answered_in_kind_and_an_answer_is_not(raw_h2, listener):
    with raw_h2(listener) as peer:
        peer.send(ping(b"\0not me!", ACK), ping(b"\0\1\2\3\4\5\6\7"))
        got = peer.next(PING)
        assert (got.flags, got.payload) == (ACK, b"\0\1\2\3\4\5\6\7")


@LISTENERS
def test_6_9_1_no_octet_beyond_the_window(raw_h2, listener):
    """A window of 1, then opened by 1: one octet each time."""
    with raw_h2(listener, (INITIAL_WINDOW_SIZE, 1)) as peer:
        verify(peer, request(), "200")
        for count in (1, 2, 3):
            assert peer.body(1, count) == count
            peer.send(window(1, 1))


@LISTENERS
def test_6_9_2_a_changed_initial_window_is_felt_by_open_streams(raw_h2, listener):
    with raw_h2(listener, (INITIAL_WINDOW_SIZE, 0)) as peer:
        verify(peer, request(), "200")
        assert not peer.bodies
        peer.send(settings((INITIAL_WINDOW_SIZE, 1)))
        assert peer.body(1, 1) == 1


@LISTENERS
def test_6_9_2_a_window_may_become_negative(raw_h2, listener):
    with raw_h2(listener, (INITIAL_WINDOW_SIZE, 3)) as peer:
        verify(peer, request(), "200")
        assert peer.body(1, 3) == 3
        peer.send(settings((INITIAL_WINDOW_SIZE, 2)))  # -1 now
        peer.send(window(1, 1))  # 0
        assert peer.body(1, 3) == 3
        peer.send(window(1, 1))
        assert peer.body(1, 4) == 4


@LISTENERS
@pytest.mark.parametrize("code", [0, 0xFF], ids=["known", "unknown"])
def test_7_1_a_goaway_with_any_code_is_taken_as_one(raw_h2, listener, code):
    """What runs is served to its end; then the gateway may close."""
    with raw_h2(listener, (INITIAL_WINDOW_SIZE, 0)) as peer:
        verify(peer, request(), "200")
        peer.send(goaway(0, code), window(1, 10))
        assert peer.until_end(1) == "200"
        assert len(peer.bodies[1]) == 10
        assert peer.answers_ping() or peer.closed
