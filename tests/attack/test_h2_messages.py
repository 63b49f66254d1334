"""The threat: a message that HTTP/2 can carry and HTTP/1.1 cannot. HTTP/2 counts octets, HTTP/1.1 reads
lines, so whatever a client may put into a name, a value or a target becomes syntax once it is
translated: another field, another request, another length (request smuggling, CVE-2021-36740 and its
kin). The gateway holds requests to RFC 9113 §8 before anything of them is translated: the stream is
reset with PROTOCOL_ERROR, or answered with 400 where the message is sound HTTP/2, and no octet of it
reaches an origin.

Trailers are merged into fields by many origins. RFC 9110 §6.5.1 lets a recipient drop what it does not
expect there; the gateway drops fields that frame, route, authenticate or speak for the client's address,
and forwards the rest.
"""

import pytest
from harness.clients import tls, tls_context
from harness.frames import Peer, data, fields, headers, request, request_fields

MALFORMED = "RST_STREAM PROTOCOL_ERROR"
RESETS = "sallyport_h2_streams_reset_total"
SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


def with_field(name, value) -> bytes:
    return request(1, "/x", (name, value))


def target(path, **more) -> bytes:
    return request(1, path, **more)


def section(*pairs) -> bytes:
    return headers(1, fields(*pairs))


def connect(*pairs, protocol="websocket", end=False, **pseudo) -> bytes:
    pseudo_fields = request_fields(**{"path": "/x", "method": "CONNECT", **pseudo})
    extended = [(":protocol", protocol)] if protocol is not None else []
    return headers(1, fields(*pseudo_fields, *extended, *pairs), end)


GOOD = request_fields("/x")

PSEUDO_FIELDS = {
    "no method": target("/x", method=None),
    "no scheme": target("/x", scheme=None),
    "no path": target(None),
    "an empty path": target(""),
    "an empty method": target("/x", method=""),
    "an empty authority and no host": target("/x", authority=""),
    "two methods": section((":method", "GET"), *GOOD),
    "two schemes": section((":scheme", "https"), *GOOD),
    "two paths": section((":path", "/y"), *GOOD),
    "two authorities": section((":authority", "localhost"), *GOOD),
    "an unknown one": section(*GOOD, (":foo", "x")),
    "a response's": section(*GOOD, (":status", "200")),
    "an empty one": section(*GOOD, (":", "x")),
    "one in capitals": section((":Method", "GET"), *GOOD),
    "one behind a field": section(*GOOD[:3], ("x-y", "1"), GOOD[3]),
    "protocol without CONNECT": section(*GOOD, (":protocol", "websocket")),
}

TARGETS = {
    "a space": target("/x y"),
    "a tab": target("/x\ty"),
    "a request line": target("/x HTTP/1.1\r\nHost: localhost\r\n\r\n" + SMUGGLED),
    "a line feed": target("/x\nx: y"),
    "NUL": target("/x\0y"),
    "DEL": target("/x\x7f"),
    "a fragment": target("/x#y"),
    "no slash": target("x"),
    "absolute form": target("http://elsewhere/x"),
    "octets above 127": target("/\xff\xfe"),
    "asterisk with GET": target("*"),
    "a method with a space": target("/x", method="GET /smuggled HTTP/1.1\r\nX:"),
    "a method with a colon": target("/x", method="GE:T"),
    "a method with octets above 127": target("/x", method="G\xcbT"),
    "a scheme with a line": target("/x", scheme="https\r\nx: y"),
    "a scheme that is a prefix": target("/x", scheme="http://elsewhere/"),
    "another scheme": target("/x", scheme="ftp"),
    "an authority with a line": target("/x", authority="localhost\r\nx: y"),
    "an authority with a space": target("/x", authority="localhost x"),
    "an authority with a path": target("/x", authority="localhost/x"),
    "an authority with userinfo": target("/x", authority="user@localhost"),
    "an authority with two ports": target("/x", authority="localhost:1:2"),
    "an authority with a comma": target("/x", authority="localhost,elsewhere"),
    "an authority with a percent sign": target("/x", authority="localhos%74"),
    "host and authority differ": with_field("host", "calm.test"),
    "host and authority differ in the port": with_field("host", "localhost:1"),
    "two hosts": request(1, "/x", ("host", "localhost"), ("host", "calm.test")),
    "two hosts alone": request(1, "/x", ("host", "localhost"), ("host", "calm.test"), authority=None),
    "neither host nor authority": target("/x", authority=None),
    "an empty host": request(1, "/x", ("host", ""), authority=None),
}

FIELDS = {
    "connection": with_field("connection", "close"),
    "connection, naming a field": with_field("connection", "x-secret"),
    "keep-alive": with_field("keep-alive", "timeout=5"),
    "proxy-connection": with_field("proxy-connection", "keep-alive"),
    "transfer-encoding: chunked": with_field("transfer-encoding", "chunked"),
    "transfer-encoding: identity": with_field("transfer-encoding", "identity"),
    "an empty transfer-encoding": with_field("transfer-encoding", ""),
    "upgrade": with_field("upgrade", "h2c"),
    "te: gzip": with_field("te", "gzip"),
    "te: trailers and more": with_field("te", "trailers, chunked"),
    "a name in capitals": with_field("X-Test", "x"),
    "one capital": with_field("content-Length", "0"),
    "transfer-encoding in capitals": with_field("Transfer-Encoding", "chunked"),
    "an empty name": with_field("", "x"),
    "a name with a colon": with_field("x:y", "z"),
    "a name that ends with a colon": with_field("transfer-encoding:", "chunked"),
    "a name with a space": with_field("x y", "z"),
    "a name that ends with a space": with_field("transfer-encoding ", "chunked"),
    "a name that begins with a tab": with_field("\ttransfer-encoding", "chunked"),
    "a name with a line": with_field("x: y\r\ntransfer-encoding", "chunked"),
    "a name with a line feed": with_field("x\ny", "z"),
    "a name with NUL": with_field("x\0", "z"),
    "a name with an octet above 127": with_field("x\xe9", "z"),
    "a value with CR LF": with_field("x", "y\r\ntransfer-encoding: chunked"),
    "a value with LF": with_field("x", "y\ntransfer-encoding: chunked"),
    "a value with CR": with_field("x", "y\rz"),
    "a value with NUL": with_field("x", "y\0z"),
    "a value that is an empty line and a request": with_field("x", "y\r\n\r\n" + SMUGGLED),
    "a value that begins with a space": with_field("x", " y"),
    "a value that begins with a tab": with_field("x", "\ty"),
    "a value that ends with a space": with_field("x", "y "),
    "a value that ends with a tab": with_field("x", "y\t"),
    "a value with a control octet": with_field("x", "y\x01z"),
    "a value with DEL": with_field("x", "y\x7fz"),
    "a cookie with a line": with_field("cookie", "a=b\r\nx: y"),
}

LENGTHS = {
    "below the DATA": ("4", b"abcd" + SMUGGLED.encode()),
    "above the DATA": ("5", b"abcd"),
    "none for DATA": ("0", b"abcd"),
    "twice": (("4", "4"), b"abcd"),
    "twice and different": (("4", "5"), b"abcd"),
    "a list": ("4, 4", b"abcd"),
    "signed": ("+4", b"abcd"),
    "negative": ("-4", b"abcd"),
    "hexadecimal": ("0x4", b"abcd"),
    "empty": ("", b"abcd"),
    "with a point": ("4.0", b"abcd"),
    "beyond 64 bits": ("18446744073709551620", b"abcd"),
}

CONNECTS = {
    "without scheme": (connect(scheme=None), MALFORMED),
    "without path": (connect(path=None), MALFORMED),
    "without authority": (connect(authority=None), MALFORMED),
    "with an empty protocol": (connect(protocol=""), MALFORMED + " | 501"),
    "with two protocols": (connect((":protocol", "websocket")), MALFORMED),
    "with a line in the protocol": (connect(protocol="websocket\r\nx: y"), MALFORMED + " | 501"),
    "with an upgrade field": (connect(("upgrade", "websocket")), MALFORMED),
    "with a connection field": (connect(("connection", "upgrade")), MALFORMED),
    "with a transfer-encoding": (connect(("transfer-encoding", "chunked")), MALFORMED),
    "to another protocol": (connect(protocol="connect-udp"), "501"),
    "plain": (connect(protocol=None, path=None, scheme=None, authority="localhost:443"), "501"),
    "plain, with a path": (connect(protocol=None), MALFORMED),
    "with a line in the path": (connect(path="/x\r\nx: y"), MALFORMED + " | 400"),
}


def peer_of(arena, listener: str = "http") -> Peer:
    if listener == "http":
        return Peer(arena.connect())
    return Peer(tls(arena.gateway.port(), tls_context(arena.certs.ca.pem, alpn=("h2",))))


def refused(arena, sent: bytes, expected: str):
    """The outcome is one of those expected, the connection lives on, and nothing reached an origin."""
    with peer_of(arena) as peer:
        before = arena.counter(RESETS, side="client", dir="tx")
        peer.send(sent)
        got = peer.outcome(1)
        assert got in expected.split(" | "), peer.heads
        assert peer.answers_ping(), "the connection of a client with many users"
    if got.startswith("RST_STREAM"):
        assert arena.counter(RESETS, side="client", dir="tx") == before + 1
    assert arena.reached() == []
    assert b"smuggled" not in arena.origin.raw


@pytest.mark.parametrize("name", PSEUDO_FIELDS)
def test_pseudo_fields(arena, name):
    refused(arena, PSEUDO_FIELDS[name], MALFORMED + " | 400")


@pytest.mark.parametrize("name", TARGETS)
def test_targets_and_authorities(arena, name):
    refused(arena, TARGETS[name], MALFORMED + " | 400")


@pytest.mark.parametrize("name", FIELDS)
def test_fields(arena, name):
    refused(arena, FIELDS[name], MALFORMED)


@pytest.mark.parametrize("name", CONNECTS)
def test_extended_connect(arena, name):
    refused(arena, *CONNECTS[name])


@pytest.mark.parametrize("route", ["/x", "/h2/x"], ids=["h1", "h2"])
@pytest.mark.parametrize("name", LENGTHS)
def test_content_length_against_data(arena, name, route):
    """An origin may have seen the head already: then its connection ends with the stream, and what it
    counts as the body of that request is no whole one, and never another request."""
    stated, body = LENGTHS[name]
    lengths = [("content-length", value) for value in ([stated] if isinstance(stated, str) else stated)]
    with peer_of(arena) as peer:
        peer.send(request(1, route, *lengths, method="POST", end=False), data(1, body, True))
        assert peer.outcome(1) == MALFORMED
        assert peer.answers_ping()
    assert all((seen.target, seen.body) == (route, b"") for seen in arena.reached())
    assert b"smuggled" not in arena.origin.raw
    assert b"abcd" not in bytes(arena.origin.raw) or b"content-length: 5" in bytes(arena.origin.raw).lower()


def test_a_body_without_a_length_is_framed_by_the_gateway_alone(arena):
    """What looks like chunks, or like a request, is the body's own."""
    body = b"0\r\n\r\n" + SMUGGLED.encode()
    with peer_of(arena) as peer:
        peer.send(request(1, "/x", method="POST", end=False), data(1, body), data(1, b"", True))
        assert peer.outcome(1) == "200"
    (seen,) = arena.reached()
    assert (seen.target, seen.body) == ("/x", body)
    assert seen.all("content-length") == [] and seen.all("transfer-encoding") == ["chunked"]


def test_what_is_only_unusual_arrives_as_it_was(arena):
    """The other side of strictness: crumbs of a cookie become one, an expectation and obs-text stay."""
    with peer_of(arena, "https") as peer:
        more = [("cookie", "a=1"), ("x-latin", "caf\xe9"), ("cookie", "b=2"), ("x-empty", ""), ("te", "trailers")]
        peer.send(request(1, "/x?q=%00%0d%0a", *more, ("host", "LOCALHOST")))
        assert peer.outcome(1) == "200"
    (seen,) = arena.reached()
    assert seen.target == "/x?q=%00%0d%0a"
    assert seen.all("cookie") == ["a=1; b=2"]
    assert seen.all("x-latin") == ["caf\xe9"] and seen.all("x-empty") == [""]
    assert seen.all("host") == ["localhost"]


# ---- trailers ------------------------------------------------------------------------------

DROPPED = ["content-length", "host", "authorization", "cookie", "x-forwarded-for", "x-forwarded-proto", "x-real-ip",
           "forwarded", "cf-connecting-ip", "true-client-ip", "via", "content-type", "content-encoding", "range",
           "if-match", "expect", "max-forwards", "cache-control", "proxy-authorization", "trailer",
           "sec-websocket-key", "x-request-id", "te", "origin", "referer"]  # fmt: skip
MALFORMED_TRAILERS = {
    "a length that is not the body's": fields(("content-length", "0")),
    "transfer-encoding": fields(("transfer-encoding", "chunked")),
    "connection": fields(("connection", "close")),
    "upgrade": fields(("upgrade", "h2c")),
    "a pseudo-field": fields((":path", "/admin")),
    "a name in capitals": fields(("X-Sum", "1")),
    "a line in a name": fields(("x\r\ny", "1")),
    "a line in a value": fields(("x", "1\r\n\r\n" + SMUGGLED)),
    "NUL in a value": fields(("x", "\0")),
}


@pytest.mark.parametrize("route", ["/x", "/h2/x"], ids=["h1", "h2"])
def test_trailers_carry_no_framing_routing_or_credentials(arena, route):
    values = {name: {"te": "trailers", "content-length": "4"}.get(name, "0") for name in DROPPED}
    with peer_of(arena) as peer:
        peer.send(request(1, route, ("te", "trailers"), method="POST", end=False), data(1, b"body"),
                  headers(1, fields(*values.items(), ("x-checksum", "42"))))  # fmt: skip
        assert peer.outcome(1) == "200"
    (seen,) = arena.reached()
    assert seen.body == b"body"
    assert seen.trailers == [("x-checksum", "42")]
    assert not {name for name, _ in seen.fields} & {"authorization", "cookie", "x-checksum"}


@pytest.mark.parametrize("name", MALFORMED_TRAILERS)
def test_malformed_trailers_cost_the_stream(arena, name):
    """The body may be on its way already; the message never becomes whole."""
    with peer_of(arena) as peer:
        peer.send(request(1, "/x", method="POST", end=False), data(1, b"body"), headers(1, MALFORMED_TRAILERS[name]))
        assert peer.outcome(1) == MALFORMED
        assert peer.answers_ping()
    arena.reached()
    assert b"\r\n0\r\n" not in arena.origin.raw, "the last chunk was not sent"
    assert b"smuggled" not in arena.origin.raw
