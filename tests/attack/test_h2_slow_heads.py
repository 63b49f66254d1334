"""The threat: an HTTP/2 head that is begun and never finished. It is no stream yet, so no stream's timer
watches over it, and its connection is not idle either: such a client would keep its place for good, and
one more on every connection that it opens (slow headers, HTTP/2's way). timeouts.request_head ends it with
ENHANCE_YOUR_CALM, whatever else runs on the connection."""

import pytest
from harness.frames import CONTINUATION, NONE, Peer, fields, frame, headers, request, request_fields

GET = fields(*request_fields("/x"))
CALM = "GOAWAY ENHANCE_YOUR_CALM"
GOAWAYS = "sallyport_h2_goaway_total"
HALVES = {
    "without its end": headers(1, GET, True, NONE),
    "cut within the frame": headers(1, GET)[:20],
    "with some of its continuation": headers(1, GET, True, NONE) + frame(CONTINUATION, NONE, 1, fields(("x", "1"))),
}


def configure(config):
    config["timeouts"] |= {"request_head": "1s", "idle": "1m"}


@pytest.mark.parametrize("name", HALVES)
def test_a_head_that_is_never_finished_ends_the_connection(arena, name):
    with arena.moved(GOAWAYS, side="client", dir="tx", error_code="enhance_your_calm"), Peer(arena.connect()) as peer:
        peer.send(HALVES[name])
        assert peer.outcome(1) == CALM
        peer.drain()
    assert arena.reached() == []


def test_more_of_the_same_head_buys_no_time(arena):
    """A field at a time, each within the deadline."""
    with Peer(arena.connect()) as peer:
        peer.send(HALVES["without its end"])
        peer.socket.settimeout(0.2)
        sent, got = 0, ""
        while not got and sent < 50:
            try:
                got = peer.outcome(1)
            except TimeoutError:
                sent += peer.send(frame(CONTINUATION, NONE, 1, fields(("x", "1"))))
        assert got == CALM and sent < 50


def test_a_head_begun_behind_other_requests_is_held_to_the_same(arena):
    """The connection has served, and would have been idle for long."""
    with Peer(arena.connect()) as peer:
        peer.send(request(1, "/x"))
        assert peer.until_end(1) == "200"
        peer.send(headers(3, GET, True, NONE))
        assert peer.outcome(3) == CALM


def test_a_head_that_failed_is_not_waited_for(arena):
    """Malformed, and therefore reset: the connection of a client with many users lives on beyond the
    deadline. Another one, begun later, tells when that is over."""
    with Peer(arena.connect()) as peer:
        peer.send(request(1, "/x"))
        assert peer.until_end(1) == "200"
        peer.send(headers(3, GET + fields(("te", "gzip"))))
        assert peer.outcome(3) == "RST_STREAM PROTOCOL_ERROR"
        with Peer(arena.connect()) as clock:
            clock.send(headers(1, GET, True, NONE))
            assert clock.outcome(1) == CALM
        assert peer.answers_ping()
