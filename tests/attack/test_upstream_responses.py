"""Threat: an origin that is broken, or in somebody else's hands. What it answers may split or hide
in a client's responses (header injection, wrong lengths), answer another client's request (bytes
behind a message), pass a part off as the whole (early close), or cost without end (1xx floods,
heads without end). Responses are held to the same rules as requests: before a head was passed on
the client gets a 502 that says why, behind it the response is cut so that it cannot look whole,
HTTP/1.1 by a close, HTTP/2 by a reset; the origin's connection or stream is dropped, the counter
moves, and the next request is served."""

import dataclasses
import re

import pytest
from arena import LOCAL_REPLIES
from bad_origins import FIN, HOLD, KEEP, PATIENCE, RST, BadH2Origin, BadOrigin, data, frame, headers, reset
from harness.clients import read_until
from harness.h2client import H2Client

FAILURES = "sallyport_upstream_failures_total"
INTERNAL_ERROR, CANCEL = 2, 8

ORIGIN, H2_ORIGIN = BadOrigin(), BadH2Origin()


def configure(made):
    made["upstreams"]["bad"] = {"protocol": "h1", "endpoints": [ORIGIN.endpoint]}
    made["upstreams"]["bad2"] = {"protocol": "h2", "endpoints": [H2_ORIGIN.endpoint]}
    made["hosts"][0]["routes"][:0] = [{"match": {"path_prefix": "/bad/"}, "upstream": "bad"},
                                      {"match": {"path_prefix": "/bad2/"}, "upstream": "bad2"}]  # fmt: skip


@dataclasses.dataclass
class Got:
    """What a client was given."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes
    whole: bool  # ended as its protocol says that a message ends
    interim: int  # 1xx heads
    reset: int | None = None  # HTTP/2: the code


def dechunk(raw: bytes) -> tuple[bytes, bool]:
    """The data, and whether the last chunk and the trailers behind it have come."""
    body = b""
    while match := re.match(rb"([0-9a-f]+)\r\n", raw):
        size, begin = int(match[1], 16), match.end()
        if size == 0:
            return body, raw.endswith(b"\r\n\r\n")
        body += raw[begin : begin + size]
        raw = raw[begin + size + 2 :]
    return body, False


def parse_http1(raw: bytes, bodiless: bool) -> Got | None:
    """None while the final head is not whole."""
    interim = 0
    while b"\r\n\r\n" in raw:
        head, raw = raw.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split(" ")[1])
        if status < 200:
            interim += 1
            continue
        fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        stated = dict(fields)
        if bodiless or status in (204, 304):
            return Got(status, fields, raw, not raw, interim)
        if "transfer-encoding" in stated:
            return Got(status, fields, *dechunk(raw), interim)
        return Got(status, fields, raw, len(raw) == int(stated.get("content-length", "-1")), interim)
    return None


def http1(arena, path, script=None, method="GET") -> Got:
    """Over a connection of its own: until the response is whole or the gateway closes."""
    with arena.connect() as connection:
        connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        raw = b""
        while True:
            got = parse_http1(raw, method == "HEAD")
            if got and script:
                script.go.set()
            if got and got.whole:
                return got
            try:
                more = connection.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                assert got, f"no head at all: {raw[:200]!r}"
                return got
            raw += more


def http2(arena, path, script=None, method="GET") -> Got:
    with arena.connect() as connection:
        client = H2Client(connection)
        number = client.start(method, path, scheme="http")
        stream = client.streams[number]
        client.wait(lambda: stream.status or stream.reset is not None, "a head")
        if script:
            script.go.set()
        client.response(number)
        return Got(stream.status, stream.headers, stream.body, stream.ended, len(stream.interim), stream.reset)


CLIENTS = pytest.mark.parametrize("client", [http1, http2], ids=["to-http1", "to-http2"])


def table(cases):
    return pytest.mark.parametrize("case", cases.values(), ids=[name.replace(" ", "-") for name in cases])


def check_refused(arena, client, script, upstream, path, cause, reason):
    with arena.moved(FAILURES, upstream=upstream, cause=cause), arena.moved(LOCAL_REPLIES, code="502", reason=reason):
        got = client(arena, path)
    assert (got.status, got.whole) == (502, True), got
    assert f"{reason}: {cause}".encode() in got.body, got
    assert "leak" not in dict(got.fields)
    assert script.dropped.wait(PATIENCE), "the origin's side goes on"


def check_cut(arena, client, script, upstream, path, cause):
    with arena.moved(FAILURES, upstream=upstream, cause=cause):
        got = client(arena, path, script)
    assert (got.status, got.whole) == (200, False), got
    assert b"abc" in got.body
    if client is http2:
        assert got.reset in (INTERNAL_ERROR, CANCEL), "a code that says neither `whole` nor `never seen`"
    assert script.dropped.wait(PATIENCE), "the origin's side goes on"


# ---- origins of HTTP/1.1: nothing of the response is passed on ----

MALFORMED = "malformed"


def lines(*fields: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", b"Leak: yes", *fields, b"", b""])


def first(line: bytes) -> bytes:
    return line + b"\r\nLeak: yes\r\nContent-Length: 0\r\n\r\n"


REFUSED = {
    # injection and what hides in a line
    "bare CR in a value": (lines(b"X: a\rSet-Cookie: stolen=1", b"Content-Length: 0"), MALFORMED),
    "bare LF in a value": (lines(b"X: a\nSet-Cookie: stolen=1", b"Content-Length: 0"), MALFORMED),
    "bare LF everywhere": (b"HTTP/1.1 200 OK\nLeak: yes\nContent-Length: 0\n\n", MALFORMED),
    "NUL in a value": (lines(b"X: a\0b", b"Content-Length: 0"), MALFORMED),
    "control byte in a value": (lines(b"X: a\x1bb", b"Content-Length: 0"), MALFORMED),
    "space before the colon": (lines(b"Content-Length : 0"), MALFORMED),
    "folded line": (lines(b"X: a", b" Set-Cookie: stolen=1", b"Content-Length: 0"), MALFORMED),
    "space before the first field": (b"HTTP/1.1 200 OK\r\n Leak: yes\r\nContent-Length: 0\r\n\r\n", MALFORMED),
    "empty name": (lines(b": x", b"Content-Length: 0"), MALFORMED),
    "no colon": (lines(b"nothing", b"Content-Length: 0"), MALFORMED),
    "name that is no token": (lines(b"X(y): z", b"Content-Length: 0"), MALFORMED),
    "name beyond ASCII": (lines(b"X\xe4: z", b"Content-Length: 0"), MALFORMED),
    # the status line
    "no status line": (b"\x15\x03\x03\0\x02\x02\x28" + bytes(32), MALFORMED),
    "status of two digits": (first(b"HTTP/1.1 20 OK"), MALFORMED),
    "status of four digits": (first(b"HTTP/1.1 2000 OK"), MALFORMED),
    "status below 100": (first(b"HTTP/1.1 099 No"), MALFORMED),
    "signed status": (first(b"HTTP/1.1 +20 OK"), MALFORMED),
    "two spaces": (first(b"HTTP/1.1  200 OK"), MALFORMED),
    "lower case": (first(b"http/1.1 200 OK"), MALFORMED),
    "another protocol": (first(b"ICY 200 OK"), MALFORMED),
    "major version 2": (first(b"HTTP/2.0 200 OK"), "unsupported"),
    "minor version 2": (first(b"HTTP/1.2 200 OK"), "unsupported"),
    "CR in the reason": (first(b"HTTP/1.1 200 O\rK"), MALFORMED),
    "NUL in the reason": (first(b"HTTP/1.1 200 O\0K"), MALFORMED),
    # lengths
    "unequal lengths": (lines(b"Content-Length: 3", b"Content-Length: 4") + b"abcd", MALFORMED),
    "repeated length": (lines(b"Content-Length: 3", b"Content-Length: 3") + b"abc", MALFORMED),
    "listed length": (lines(b"Content-Length: 3, 3") + b"abc", MALFORMED),
    "signed length": (lines(b"Content-Length: +3") + b"abc", MALFORMED),
    "negative length": (lines(b"Content-Length: -3") + b"abc", MALFORMED),
    "hex length": (lines(b"Content-Length: 0x3") + b"abc", MALFORMED),
    "empty length": (lines(b"Content-Length:") + b"abc", MALFORMED),
    "length overflow": (lines(b"Content-Length: 18446744073709551619") + b"abc", MALFORMED),
    "length and coding": (lines(b"Content-Length: 3", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", MALFORMED),
    "coding not chunked": (lines(b"Transfer-Encoding: identity") + b"abc", MALFORMED),
    "coding behind chunked": (lines(b"Transfer-Encoding: chunked, gzip") + b"0\r\n\r\n", MALFORMED),
    "coding before chunked": (lines(b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", "unsupported"),
    "chunked twice": (lines(b"Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n", MALFORMED),
    "codings on two lines": (lines(b"Transfer-Encoding: x", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", MALFORMED),
    "chunked with a parameter": (lines(b"Transfer-Encoding: chunked;q=1") + b"0\r\n\r\n", MALFORMED),
    "xchunked": (lines(b"Transfer-Encoding: xchunked") + b"0\r\n\r\n", MALFORMED),
    "vertical tab before chunked": (lines(b"Transfer-Encoding: \x0bchunked") + b"0\r\n\r\n", MALFORMED),
    "empty coding": (lines(b"Transfer-Encoding:") + b"0\r\n\r\n", MALFORMED),
    "chunked in HTTP/1.0": (first(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked"), MALFORMED),
    "204 with a length": (b"HTTP/1.1 204 No\r\nLeak: yes\r\nContent-Length: 3\r\n\r\nabc", MALFORMED),
    "204 with a coding": (b"HTTP/1.1 204 No\r\nLeak: yes\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", MALFORMED),
    "1xx with a length": (b"HTTP/1.1 103 Hints\r\nContent-Length: 3\r\n\r\nabc", MALFORMED),
    # what nobody asked for, and what has no end
    "101 that nobody asked for": (b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", MALFORMED),
    "1xx flood": (b"HTTP/1.1 103 Hints\r\nX: y\r\n\r\n" * 33 + lines(b"Content-Length: 0"), "interim_flood"),
    "long field": (lines(b"X: " + b"a" * 32769, b"Content-Length: 0"), "head_too_large"),
    "long reason": (first(b"HTTP/1.1 200 " + b"a" * 32769), "head_too_large"),
    "long head": (lines(*[b"X: " + b"a" * 30000] * 5, b"Content-Length: 0"), "head_too_large"),
    "many fields": (lines(*[b"X: y"] * 256), "head_too_large"),
    "field without end": (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000, "head_too_large"),
}


@CLIENTS
@table(REFUSED)
def test_a_response_that_breaks_the_rules_is_a_502(arena, client, case):
    answer, cause = case
    script = ORIGIN.on("/bad/", answer)
    check_refused(arena, client, script, "bad", "/bad/", cause, "upstream_malformed")


@CLIENTS
@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"])
@pytest.mark.parametrize("end, cause", [(FIN, "closed"), (RST, "reset")], ids=["FIN", "RST"])
def test_an_origin_that_closes_before_its_head_is_whole_is_a_502(arena, client, begin, end, cause):
    script = ORIGIN.on("/bad/", begin, end=end)
    check_refused(arena, client, script, "bad", "/bad/", cause, "upstream_reset")


# ---- origins of HTTP/1.1: the head has been passed on ----

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"

CUT = {
    "FIN in a body of known length": (LENGTH, b"defghi", FIN, "closed"),
    "RST in a body of known length": (LENGTH, b"defghi", RST, "reset"),
    "FIN in a chunk": (CHUNKED, b"5\r\nde", FIN, "closed"),
    "RST in a chunk": (CHUNKED, b"5\r\nde", RST, "reset"),
    "FIN before the last chunk": (CHUNKED, b"5\r\ndefgh\r\n", FIN, "closed"),
    "FIN before the trailers' end": (CHUNKED, b"0\r\n", FIN, "closed"),
    "FIN in the trailers": (CHUNKED, b"0\r\nx: y\r\n", FIN, "closed"),
    "no chunk size": (CHUNKED, b"\r\nde\r\n0\r\n\r\n", HOLD, MALFORMED),
    "chunk size that is no number": (CHUNKED, b"zz\r\nde\r\n0\r\n\r\n", HOLD, MALFORMED),
    "signed chunk size": (CHUNKED, b"+2\r\nde\r\n0\r\n\r\n", HOLD, MALFORMED),
    "hex prefix": (CHUNKED, b"0x2\r\nde\r\n0\r\n\r\n", HOLD, MALFORMED),
    "space behind the size": (CHUNKED, b"2 \r\nde\r\n0\r\n\r\n", HOLD, MALFORMED),
    "bare LF behind the size": (CHUNKED, b"2\nde\r\n0\r\n\r\n", HOLD, MALFORMED),
    "chunk size overflow": (CHUNKED, b"10000000000000002\r\nde\r\n0\r\n\r\n", HOLD, MALFORMED),
    "longer than its size": (CHUNKED, b"2\r\ndef\r\n0\r\n\r\n", HOLD, MALFORMED),
    "bare LF behind a chunk": (CHUNKED, b"2\r\nde\n0\r\n\r\n", HOLD, MALFORMED),
    "extension without end": (CHUNKED, b"2;" + b"x" * 300 + b"\r\nde\r\n0\r\n\r\n", HOLD, MALFORMED),
    "extensions beyond all bodies": (CHUNKED, b"1;%s\r\nd\r\n" % (b"x" * 200) * 100 + b"0\r\n\r\n", HOLD, MALFORMED),
    "injection in a trailer": (CHUNKED, b"0\r\nx: a\rset-cookie: b\r\n\r\n", HOLD, MALFORMED),
    "folded trailer": (CHUNKED, b"0\r\nx: a\r\n b\r\n\r\n", HOLD, MALFORMED),
    "long trailers": (CHUNKED, b"0\r\n" + (b"x: %s\r\n" % (b"a" * 3000)) * 6 + b"\r\n", HOLD, "head_too_large"),
    "many trailers": (CHUNKED, b"0\r\n" + b"x: y\r\n" * 65 + b"\r\n", HOLD, "head_too_large"),
}


@CLIENTS
@table(CUT)
def test_a_response_that_goes_wrong_is_cut_and_never_looks_whole(arena, client, case):
    begin, rest, end, cause = case
    script = ORIGIN.on("/bad/", begin, rest, end=end)
    check_cut(arena, client, script, "bad", "/bad/", cause)


# ---- origins of HTTP/1.1: bytes that belong to no response ----

POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON"
BEHIND = {
    "HEAD": ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 46\r\n\r\n", 200),
    "204": ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204),
    "304": ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 46\r\n\r\n", 304),
    "no length left": ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200),
    "length": ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200),
    "chunked": ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200),
}


@CLIENTS
@table(BEHIND)
def test_what_stands_behind_a_response_answers_nobody(arena, client, case):
    """It would be the answer to the next request on the connection, another client's maybe."""
    method, answer, status = case
    script = ORIGIN.on("/bad/", answer + POISON)
    ORIGIN.on("/bad/next", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine", end=KEEP)
    got = client(arena, "/bad/", None, method)
    assert (got.status, got.whole, b"POISON" in got.body) == (status, True, False), got
    assert script.dropped.wait(PATIENCE), "the origin's connection goes on"
    assert b"mine" in client(arena, "/bad/next").body


@CLIENTS
def test_a_response_that_nobody_asked_for_answers_nobody(arena, client):
    mine = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine"
    script = ORIGIN.on("/bad/", mine, end=KEEP)
    assert client(arena, "/bad/").body == b"mine"
    ORIGIN.last.sendall(POISON)
    assert script.dropped.wait(PATIENCE), "the origin's connection goes on"
    assert client(arena, "/bad/").body == b"mine"


# ---- what is allowed passes, so that the refusals above are for what they say ----


@CLIENTS
@pytest.mark.parametrize("answer", [LENGTH + b"defghij", CHUNKED + b"7\r\ndefghij\r\n0\r\n\r\n"],
                         ids=["length", "chunked"])  # fmt: skip
def test_a_good_response_passes_in_any_pieces(arena, client, answer):
    for cut in range(answer.index(b"abc"), len(answer)):
        got = client(arena, "/bad/", ORIGIN.on("/bad/", answer[:cut], answer[cut:], end=KEEP))
        assert (got.status, got.whole, got.body) == (200, True, b"abcdefghij"), (cut, got)


@CLIENTS
def test_as_many_1xx_as_allowed_pass(arena, client):
    hints = b"HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n" * 32
    ORIGIN.on("/bad/", hints + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", end=KEEP)
    got = client(arena, "/bad/")
    assert (got.status, got.interim, got.whole) == (200, 32, True)


def test_an_http10_client_gets_no_1xx(arena):
    """RFC 9110 §15.2: it would take the first for the answer."""
    ORIGIN.on("/bad/", b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", end=KEEP)
    with arena.connect() as connection:
        connection.sendall(b"GET /bad/ HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert read_until(connection, b"ok").startswith(b"HTTP/1.1 200 ")


FORBIDDEN = ("content-length", "transfer-encoding", "set-cookie", "location", "host", "authorization", "cache-control")


@pytest.mark.parametrize("upstream", ["bad", "bad2"])
def test_trailers_carry_no_framing_routing_or_authority(arena, upstream):
    """A client that merges them into the head would believe them. (The first two are malformed in
    HTTP/2 to begin with.)"""
    fields = [(name, "0") for name in FORBIDDEN[0 if upstream == "bad" else 2 :]]
    text = "".join(f"{name}: {value}\r\n" for name, value in fields)
    ORIGIN.on("/bad/", CHUNKED + f"0\r\n{text}x-sum: 42\r\n\r\n".encode(), end=KEEP)
    H2_ORIGIN.on("/bad2/", lambda s: headers(s, (":status", "200")) + data(s, b"abc")
                 + headers(s, *fields, ("x-sum", "42"), end=True))  # fmt: skip
    with arena.connect() as connection:
        stream = H2Client(connection).get(f"/{upstream}/", scheme="http")
    assert (stream.body, stream.ended, stream.trailers) == (b"abc", True, [("x-sum", "42")])


# ---- origins of HTTP/2: nothing of the response is passed on ----

OK = ((":status", "200"), ("leak", "yes"))


def head(*fields, end=True):
    return lambda stream: headers(stream, *fields, end=end)


def then(*pieces):
    return lambda stream: b"".join(piece(stream) if callable(piece) else piece for piece in pieces)


REFUSED_H2 = {
    # pseudo-fields
    "no status": (head(("leak", "yes")), MALFORMED),
    "status twice": (head((":status", "200"), *OK), MALFORMED),
    "status of two digits": (head((":status", "20"), ("leak", "yes")), MALFORMED),
    "status of four digits": (head((":status", "2000"), ("leak", "yes")), MALFORMED),
    "status in letters": (head((":status", "abc"), ("leak", "yes")), MALFORMED),
    "status below 100": (head((":status", "099"), ("leak", "yes")), MALFORMED),
    "status behind a field": (head(("leak", "yes"), (":status", "200")), MALFORMED),
    "a request's pseudo-field": (head((":status", "200"), (":path", "/")), MALFORMED),
    "unknown pseudo-field": (head((":status", "200"), (":leak", "yes")), MALFORMED),
    # names and values
    "upper case": (head(*OK, ("X-Up", "1")), MALFORMED),
    "space in a name": (head(*OK, ("x y", "1")), MALFORMED),
    "line end in a name": (head(*OK, ("x\r\nset-cookie", "1")), MALFORMED),
    "colon in a name": (head(*OK, ("x:y", "1")), MALFORMED),
    "empty name": (head(*OK, ("", "1")), MALFORMED),
    "CR in a value": (head(*OK, ("x", "a\rb")), MALFORMED),
    "injection by LF": (head(*OK, ("x", "a\r\nset-cookie: stolen=1")), MALFORMED),
    "NUL in a value": (head(*OK, ("x", "a\0b")), MALFORMED),
    "space before a value": (head(*OK, ("x", " a")), MALFORMED),
    "space behind a value": (head(*OK, ("x", "a ")), MALFORMED),
    "connection": (head(*OK, ("connection", "close")), MALFORMED),
    "transfer-encoding": (head(*OK, ("transfer-encoding", "chunked")), MALFORMED),
    "keep-alive": (head(*OK, ("keep-alive", "timeout=5")), MALFORMED),
    "proxy-connection": (head(*OK, ("proxy-connection", "close")), MALFORMED),
    "upgrade": (head(*OK, ("upgrade", "h2c")), MALFORMED),
    # lengths
    "signed length": (head(*OK, ("content-length", "+3"), end=False), MALFORMED),
    "listed length": (head(*OK, ("content-length", "3, 3"), end=False), MALFORMED),
    "repeated length": (head(*OK, ("content-length", "0"), ("content-length", "0")), MALFORMED),
    "length without a body": (head(*OK, ("content-length", "5")), MALFORMED),
    "204 with a length": (head((":status", "204"), ("content-length", "5"), ("leak", "yes")), MALFORMED),
    # what nobody asked for, and what has no end
    "101": (head((":status", "101"), ("leak", "yes"), end=False), MALFORMED),
    "1xx that ends": (head((":status", "103"), ("leak", "yes")), MALFORMED),
    "1xx with a length": (then(head((":status", "103"), ("content-length", "3"), end=False), head(*OK)), MALFORMED),
    "1xx flood": (then(*[head((":status", "103"), end=False)] * 33, head(*OK)), "interim_flood"),
    "long field": (head(*OK, ("x", "a" * 32769)), "head_too_large"),
    "long head": (head(*OK, *[("x", "a" * 30000)] * 5), "head_too_large"),
    "many fields": (head(*OK, *[("x", "y")] * 256), "head_too_large"),
    # of the connection
    "DATA without a head": (lambda s: data(s, b"leak", True), MALFORMED),
    "a pushed response": (lambda s: frame(5, 4, s, b"\0\0\0\x02" + headers(0, (":path", "/"))[9:]), MALFORMED),
    "HEADERS of no request": (lambda s: headers(2, *OK, end=True), MALFORMED),
    "HEADERS of an idle stream": (lambda s: headers(s + 100, *OK, end=True), MALFORMED),
    "broken HPACK": (lambda s: frame(1, 5, s, b"\xff\xff\xff\xff\xff\xff"), MALFORMED),
    "HEADERS cut by another frame": (lambda s: frame(1, 1, s, b"\x88") + frame(6, 0, 0, bytes(8)), MALFORMED),
    "frame above our size": (lambda s: frame(1, 4, s, bytes(16385)), MALFORMED),
    "HTTP/1.1": (lambda s: b"HTTP/1.1 200 OK\r\nLeak: yes\r\nContent-Length: 0\r\n\r\n" * 40, MALFORMED),
    "empty CONTINUATIONs": (lambda s: frame(1, 1, s, b"\x88") + frame(9, 0, s) * 2000, "enhance_your_calm"),
    "SETTINGS flood": (lambda s: frame(4, 0, 0) * 2000, "enhance_your_calm"),
    "PING flood": (lambda s: frame(6, 0, 0, bytes(8)) * 2000, "enhance_your_calm"),
}


@CLIENTS
@table(REFUSED_H2)
def test_an_h2_response_that_breaks_the_rules_is_a_502(arena, client, case):
    answer, cause = case
    script = H2_ORIGIN.on("/bad2/", answer)
    reason = "upstream_reset" if cause == "enhance_your_calm" else "upstream_malformed"
    check_refused(arena, client, script, "bad2", "/bad2/", cause, reason)


@CLIENTS
@pytest.mark.parametrize("code, cause", [(0, "stream_reset"), (2, "stream_reset"), (8, "stream_reset")])
def test_an_h2_stream_that_is_reset_before_its_head_is_a_502(arena, client, code, cause):
    H2_ORIGIN.on("/bad2/", lambda s: reset(s, code))
    with arena.moved(FAILURES, upstream="bad2", cause=cause):
        got = client(arena, "/bad2/")
    assert (got.status, b"upstream_reset: stream_reset" in got.body) == (502, True), got


# ---- origins of HTTP/2: the head has been passed on ----

OPEN = then(head((":status", "200"), ("content-length", "10"), end=False), lambda s: data(s, b"abc"))
STREAM = then(head((":status", "200"), end=False), lambda s: data(s, b"abc"))

CUT_H2 = {
    "shorter than its length": (OPEN, lambda s: data(s, b"de", True), MALFORMED),
    "shorter by an empty end": (OPEN, lambda s: data(s, b"", True), MALFORMED),
    "shorter by trailers": (OPEN, head(("x", "y")), MALFORMED),
    "longer than its length": (OPEN, lambda s: data(s, b"defghijk", True), MALFORMED),
    "reset": (STREAM, lambda s: reset(s, 2), "stream_reset"),
    "reset as if all were well": (STREAM, lambda s: reset(s, 0), "stream_reset"),
    "reset as if never seen": (STREAM, lambda s: reset(s, 7), "stream_refused"),
    "reset for HTTP/1.1": (STREAM, lambda s: reset(s, 13), "stream_reset"),
    "a second head": (STREAM, head((":status", "200"), end=True), MALFORMED),
    "trailers that do not end": (STREAM, head(("x", "y"), end=False), MALFORMED),
    "injection in a trailer": (STREAM, head(("x", "a\r\nset-cookie: b")), MALFORMED),
    "upper case in a trailer": (STREAM, head(("X", "y")), MALFORMED),
    "long trailers": (STREAM, head(*[("x", "a" * 30000)] * 5), "head_too_large"),
    "broken HPACK": (STREAM, lambda s: frame(1, 5, s, b"\xff\xff\xff\xff\xff\xff"), MALFORMED),
    "GOAWAY that disowns it": (STREAM, lambda s: frame(7, 0, 0, bytes(8)), "stream_refused"),
    "empty DATA flood": (STREAM, lambda s: data(s, b"") * 2000, "enhance_your_calm"),
}


@CLIENTS
@table(CUT_H2)
def test_an_h2_response_that_goes_wrong_is_cut_and_never_looks_whole(arena, client, case):
    begin, rest, cause = case
    script = H2_ORIGIN.on("/bad2/", begin, rest)
    if "stream_re" in cause:
        script.dropped.set()  # by the origin
    check_cut(arena, client, script, "bad2", "/bad2/", cause)


@CLIENTS
@pytest.mark.parametrize("end, cause", [(FIN, "closed"), (RST, "reset")], ids=["FIN", "RST"])
def test_an_h2_connection_that_ends_in_a_response_cuts_it(arena, client, end, cause):
    script = H2_ORIGIN.on("/bad2/", STREAM, lambda s: data(s, b"de"), end=end)
    check_cut(arena, client, script, "bad2", "/bad2/", cause)


@CLIENTS
@pytest.mark.parametrize("method, status", [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_an_h2_body_where_none_may_be_is_nobody_s(arena, client, method, status):
    """HTTP/1.1 ends such a message with its head; over HTTP/2 it is cut, with or without a head."""
    H2_ORIGIN.on("/bad2/", then(head((":status", str(status)), end=False), lambda s: data(s, b"POISON", True)))
    H2_ORIGIN.on("/bad2/next", then(head((":status", "200"), end=False), lambda s: data(s, b"mine", True)))
    got = client(arena, "/bad2/", None, method)
    assert b"POISON" not in got.body, got
    assert got.status == status if client is http1 else (got.status in (0, status) and got.reset == INTERNAL_ERROR)
    assert b"mine" in client(arena, "/bad2/next").body


def test_resets_and_goaways_of_upstreams_are_counted_by_side_and_code(arena):
    resets, goaways = "sallyport_h2_streams_reset_total", "sallyport_h2_goaway_total"
    H2_ORIGIN.on("/bad2/", head(("leak", "yes")))
    with arena.moved(resets, side="upstream", dir="tx", error_code="protocol_error"):
        http1(arena, "/bad2/")
    H2_ORIGIN.on("/bad2/", lambda s: reset(s, 2))
    with arena.moved(resets, side="upstream", dir="rx", error_code="internal_error"):
        http1(arena, "/bad2/")
    H2_ORIGIN.on("/bad2/", then(head((":status", "204")), frame(7, 0, 0, b"\x7f\xff\xff\xff\0\0\0\0")))
    with arena.moved(goaways, side="upstream", dir="rx", error_code="no_error"):
        http1(arena, "/bad2/")
    H2_ORIGIN.on("/bad2/", lambda s: frame(6, 0, 0, bytes(8)) * 2000)
    with arena.moved("sallyport_h2_flood_protection_total", kind="ping"):
        http1(arena, "/bad2/")
