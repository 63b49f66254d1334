"""Request smuggling: a client sends what the gateway and an origin could cut into messages at
different places, so that a part of one client's request becomes somebody else's, past every rule.
Whatever is ambiguous is refused with 400 and a closed connection, at whatever places TCP cuts it,
and no origin gets to see a whole request of it; what only looks odd passes as exactly one request."""

import pytest
from arena import EVERY, LOCAL_REPLIES

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
WAYS = {"h1": b"/victim", "h2": b"/h2/victim"}  # the origin's protocol
CPU_MICROSECONDS_PER_BYTE = 5.0  # a refusal with its connection: measured below 1


def post(path: bytes, lines: bytes, body: bytes = b"", version: bytes = b"HTTP/1.1") -> bytes:
    return b"POST %s %s\r\nHost: localhost\r\n%s\r\n%s" % (path, version, lines, body)


# What a head may not say about where its body ends. The body would suit one of the readings.
HEADS = {
    "length and chunked": b"Content-Length: 5\r\n" + CHUNKED,
    "chunked and length": CHUNKED + b"Content-Length: 5\r\n",
    "chunked and length 0": CHUNKED + b"Content-Length: 0\r\n",
    "lengths unequal": b"Content-Length: 5\r\nContent-Length: 0\r\n",
    "lengths equal": b"Content-Length: 5\r\nContent-Length: 5\r\n",
    "lengths unequal in other case": b"content-length: 5\r\nCONTENT-LENGTH: 6\r\n",
    "lengths listed": b"Content-Length: 5, 5\r\n",
    "lengths listed, unequal": b"Content-Length: 5,6\r\n",
    "lengths listed, one empty": b"Content-Length: 5,\r\n",
    "length behind a comma": b"Content-Length: ,5\r\n",
    "length +5": b"Content-Length: +5\r\n",
    "length -5": b"Content-Length: -5\r\n",
    "length 0x5": b"Content-Length: 0x5\r\n",
    "length 5.0": b"Content-Length: 5.0\r\n",
    "length 5e0": b"Content-Length: 5e0\r\n",
    "length 0_5": b"Content-Length: 0_5\r\n",
    "length 5 5": b"Content-Length: 5 5\r\n",
    "length with a parameter": b"Content-Length: 5;a=b\r\n",
    "length quoted": b'Content-Length: "5"\r\n',
    "length empty": b"Content-Length:\r\n",
    "length blank": b"Content-Length: \t \r\n",
    "length in Arabic digits": "Content-Length: ٥\r\n".encode(),
    "length in superscript": b"Content-Length: \xb2\r\n",
    "length behind a vertical tab": b"Content-Length: \x0b5\r\n",
    "length behind a no-break space": b"Content-Length: \xa05\r\n",
    "length before a NUL": b"Content-Length: 5\x00\r\n",
    "length 2^63": b"Content-Length: 9223372036854775808\r\n",
    "length 2^64 + 5": b"Content-Length: 18446744073709551621\r\n",
    "length 2^32 in more digits than are sane": b"Content-Length: 00000000000000000005\r\n",
    "space before the colon of the length": b"Content-Length : 5\r\n",
    "tab before the colon of the length": b"Content-Length\t: 5\r\n",
    "space before the colon of the coding": b"Transfer-Encoding : chunked\r\n",
    "coding twice": CHUNKED + CHUNKED,
    "coding and another": CHUNKED + b"Transfer-Encoding: identity\r\n",
    "another and coding": b"Transfer-Encoding: identity\r\n" + CHUNKED,
    "coding and a cow": CHUNKED + b"Transfer-Encoding: cow\r\n",
    "coding listed twice": b"Transfer-Encoding: chunked, chunked\r\n",
    "chunked not last": b"Transfer-Encoding: chunked, gzip\r\n",
    "coding without chunked": b"Transfer-Encoding: gzip\r\n",
    "identity": b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n",
    "coding empty": b"Transfer-Encoding:\r\n",
    "coding empty and a length": b"Transfer-Encoding: \r\nContent-Length: 5\r\n",
    "xchunked": b"Transfer-Encoding: xchunked\r\n",
    "chunkedx": b"Transfer-Encoding: chunkedx\r\n",
    "chunke": b"Transfer-Encoding: chunke\r\n",
    "chunked with a Kelvin sign": "Transfer-Encoding: chun\u212aed\r\n".encode(),
    "chunked with a parameter": b"Transfer-Encoding: chunked;q=1\r\n",
    "chunked quoted": b'Transfer-Encoding: "chunked"\r\n',
    "chunked behind a comma": b"Transfer-Encoding: , chunked\r\n",
    "chunked before a comma": b"Transfer-Encoding: chunked,\r\n",
    "chunked behind commas and tabs": b"Transfer-Encoding: ,\t,chunked\r\n",
    "chunked behind a vertical tab": b"Transfer-Encoding: \x0bchunked\r\n",
    "chunked behind a form feed": b"Transfer-Encoding: \x0cchunked\r\n",
    "chunked behind a no-break space": b"Transfer-Encoding: \xa0chunked\r\n",
    "chunked before a NUL": b"Transfer-Encoding: chunked\x00\r\n",
    "chunked cut by a space": b"Transfer-Encoding: chun ked\r\n",
    "chunked folded": b"Transfer-Encoding:\r\n chunked\r\n",
    "chunked folded by a tab": b"Transfer-Encoding:\r\n\tchunked\r\n",
    "coding in a folded line": b"X: y\r\n Transfer-Encoding: chunked\r\n",
    "coding behind a bare LF": b"X: y\nTransfer-Encoding: chunked\r\n",
    "coding behind a bare CR": b"X: y\rTransfer-Encoding: chunked\r\n",
    "coding behind CR CR LF": b"X: y\r\r\nTransfer-Encoding: chunked\r\n",
    "coding behind a NUL": b"X: y\x00Transfer-Encoding: chunked\r\n",
    "a NUL in the coding's name": b"Transfer\x00-Encoding: chunked\r\n",
    "a CR in the coding's name": b"Transfer-\rEncoding: chunked\r\n",
    "a head that ends in LF LF": b"Content-Length: 5\n\n",
    "a head that ends in LF CR LF": b"Content-Length: 5\n\r\n",
    "a line without a colon": b"Transfer-Encoding chunked\r\n",
    "an expectation twice": b"Content-Length: 5\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n",
    "expectations listed": b"Content-Length: 5\r\nExpect: 100-continue, 100-continue\r\n",
    "an expectation obfuscated": b"Content-Length: 5\r\nExpect: y 100-continue\r\n",
    "another expectation": b"Content-Length: 5\r\nExpect: 200-ok\r\n",
}
# Well-formed codings before a final chunked: RFC 9112 §6.1 has a status for what is not implemented.
UNSUPPORTED = {
    "gzip, chunked": b"Transfer-Encoding: gzip, chunked\r\n",
    "identity, chunked": b"Transfer-Encoding: identity,chunked\r\n",
}
OLD = {
    "chunked with HTTP/1.0": CHUNKED,
    "chunked with HTTP/1.0 and kept alive": b"Connection: keep-alive\r\n" + CHUNKED,
    "chunked and a length with HTTP/1.0": b"Content-Length: 5\r\n" + CHUNKED,
}
BODY = b"0\r\n\r\n" + SMUGGLED

# What a chunked body may not look like; each looks complete to somebody.
BODIES = {
    "size -3": b"-3\r\nabc\r\n0\r\n\r\n",
    "size +3": b"+3\r\nabc\r\n0\r\n\r\n",
    "size 0x3": b"0x3\r\nabc\r\n0\r\n\r\n",
    "size 0X3": b"0X3\r\nabc\r\n0\r\n\r\n",
    "size behind a space": b" 3\r\nabc\r\n0\r\n\r\n",
    "size before a space": b"3 \r\nabc\r\n0\r\n\r\n",
    "size before a tab": b"3\t\r\nabc\r\n0\r\n\r\n",
    "size _3": b"0_3\r\nabc\r\n0\r\n\r\n",
    "size 3g": b"3g\r\nabc\r\n0\r\n\r\n",
    "size h": b"h\r\nabc\r\n0\r\n\r\n",
    "no size": b"\r\nabc\r\n0\r\n\r\n",
    "an extension without a size": b";a=b\r\nabc\r\n0\r\n\r\n",
    "size 2^64 + 3": b"10000000000000003\r\nabc\r\n0\r\n\r\n",
    "size 2^64 - 1": b"ffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "size 2^63": b"8000000000000000\r\nabc\r\n0\r\n\r\n",
    "size of a hundred digits": b"0" * 99 + b"3\r\nabc\r\n0\r\n\r\n",
    "size before a NUL": b"3\x00\r\nabc\r\n0\r\n\r\n",
    "size that ends in LF": b"3\nabc\r\n0\r\n\r\n",
    "size that ends in CR": b"3\rabc\r\n0\r\n\r\n",
    "size that ends in CR CR LF": b"3\r\r\nabc\r\n0\r\n\r\n",
    "data that ends in LF": b"3\r\nabc\n0\r\n\r\n",
    "data that ends in CR": b"3\r\nabc\r0\r\n\r\n",
    "data without an end": b"3\r\nabc0\r\n\r\n",
    "data that goes on": b"3\r\nabcd\r\n0\r\n\r\n",
    "an extension with LF": b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "an extension with CR": b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    "an extension with NUL": b"3;a\x00\r\nabc\r\n0\r\n\r\n",
    "an extension that is too long": b"3;" + b"a" * 300 + b"\r\nabc\r\n0\r\n\r\n",
    "extensions that are too many": (b"1;" + b"a" * 200 + b"\r\nx\r\n") * 100 + b"0\r\n\r\n",
    "last chunk that ends in LF": b"3\r\nabc\r\n0\n\r\n",
    "end in LF": b"3\r\nabc\r\n0\r\n\n",
    "end in CR and something": b"3\r\nabc\r\n0\r\n\rX",
    "a trailer folded": b"0\r\nX: y\r\n Z: 1\r\n\r\n",
    "a trailer with a space before its colon": b"0\r\nX : y\r\n\r\n",
    "a trailer without a colon": b"0\r\nGET / HTTP/1.1\r\n\r\n",
    "a trailer with a bare LF": b"0\r\nX: y\nZ: 1\r\n\r\n",
    "a trailer with NUL": b"0\r\nX: \x00\r\n\r\n",
    "a trailer without a name": b"0\r\n: y\r\n\r\n",
}


def refused(arena, data: bytes, status: int = 400):
    """At every cut: one answer, the end of the connection, nothing of it at an origin."""
    head = data.index(b"\r\n\r\n") + 4 if b"\r\n\r\n" in data else len(data) // 2
    cuts = [(), (1, head - 1), (head // 2, head)]
    if len(data) < 600:
        cuts.append(EVERY)
    for places in cuts:
        asked = arena.ask(data, cuts=places)
        assert (asked.statuses, asked.closed, asked.rest) == ([status], True, b""), (places, asked)
        assert asked.answers[0].all("connection") == ["close"]
    assert arena.reached() == [], places
    assert b"smuggled" not in arena.origin.raw
    return len(cuts)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", HEADS)
def test_ambiguous_framing_is_refused(arena, name, way):
    before = arena.counter(LOCAL_REPLIES, code="400", reason="bad_request")
    count = refused(arena, post(WAYS[way], HEADS[name], BODY))
    arena.gateway.wait_metric(LOCAL_REPLIES, before + count, code="400", reason="bad_request")


@pytest.mark.parametrize("name", OLD)
def test_chunked_in_http_1_0_is_refused(arena, name):
    refused(arena, post(b"/victim", OLD[name], BODY, b"HTTP/1.0"))


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_a_coding_that_is_not_spoken_is_refused(arena, name):
    refused(arena, post(b"/victim", UNSUPPORTED[name], BODY), 501)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", BODIES)
def test_broken_chunks_are_refused(arena, name, way):
    """The head may be on its way when the body turns out to be broken; its request never ends."""
    before = arena.counter(LOCAL_REPLIES, code="400", reason="bad_request")
    count = refused(arena, post(WAYS[way], CHUNKED, BODIES[name] + SMUGGLED))
    arena.gateway.wait_metric(LOCAL_REPLIES, before + count, code="400", reason="bad_request")


# What looks odd and means one thing only: (lines, body as sent, body as an origin gets it).
GOOD = {
    "length": (b"Content-Length: 5\r\n", b"hello", b"hello"),
    "length with blanks around": (b"Content-Length: \t 5 \t\r\n", b"hello", b"hello"),
    "length without a blank": (b"Content-Length:5\r\n", b"hello", b"hello"),
    "length with zeros": (b"Content-Length: 005\r\n", b"hello", b"hello"),
    "length 0": (b"Content-Length: 0\r\n", b"", b""),
    "no length": (b"", b"", b""),
    "a body that looks like a request": (b"Content-Length: %d\r\n" % len(SMUGGLED), SMUGGLED, SMUGGLED),
    "a body that looks like chunks": (b"Content-Length: 5\r\n", b"0\r\n\r\n", b"0\r\n\r\n"),
    "an expectation": (b"Content-Length: 5\r\nExpect: 100-Continue\r\n", b"hello", b"hello"),
    "chunked in other case": (b"tRANSFER-eNCODING: CHUNKED\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "chunked with blanks around": (b"Transfer-Encoding:\t chunked \t\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "chunks of a request": (CHUNKED, b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED), SMUGGLED),
    "chunks of the end of chunks": (CHUNKED, b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
    "sizes with zeros and in capitals": (CHUNKED, b"000A\r\n0123456789\r\n00\r\n\r\n", b"0123456789"),
    "extensions": (CHUNKED, b'5;a=b;c="d e"\r\nhello\r\n0;last\r\n\r\n', b"hello"),
    "an extension that quotes its end": (CHUNKED, b'5;a="\r\nhello\r\n0\r\n\r\n', b"hello"),
    "trailers": (CHUNKED, b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", b"hello"),
    "a coding in a field that is none": (b"Content-Length: 5\r\nX-Transfer-Encoding: chunked\r\n", b"hello", b"hello"),
    "a coding that only Connection names": (b"Content-Length: 5\r\nConnection: transfer-encoding\r\n", b"hello", b"hello"),
    "a length that Connection names": (b"Content-Length: 5\r\nConnection: content-length\r\n", b"hello", b"hello"),
    "chunked that Connection names": (b"Connection: Transfer-Encoding\r\n" + CHUNKED, b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "an upgrade with a body": (b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n", b"hello", b"hello"),
}  # fmt: skip


@pytest.mark.parametrize("method", [b"POST", b"GET"])
@pytest.mark.parametrize("name", GOOD)
def test_what_only_looks_odd_is_one_request(arena, name, method):
    lines, body, expected = GOOD[name]
    for way, path in WAYS.items():
        data = post(path, lines, body).replace(b"POST", method, 1)
        for cuts in ((), EVERY):
            arena.forget()
            assert arena.ask(data + SMUGGLED.replace(b"smuggled", b"second"), cuts, answers=2).statuses == [200, 200]
            first, second = sorted(arena.reached(), key=lambda seen: seen.target == "/second")
            assert (first.target, first.body, second.target) == (path.decode(), expected, "/second"), (way, cuts)
            framing = first.all("content-length") + first.all("transfer-encoding")
            assert len(framing) <= 1 and (framing or not expected or way == "h2"), framing


def test_bytes_behind_a_message_are_the_next_one_or_nothing(arena):
    """Too many bytes for the length: they are read as a request, and refused as one."""
    for behind, status in ((b"XXXX\r\n\r\n", 400), (b"\x00", 400), (b" " + SMUGGLED, 400)):
        arena.forget()
        for cuts in ((), EVERY):
            asked = arena.ask(post(b"/victim", b"Content-Length: 5\r\n", b"hello" + behind), cuts)
            assert (asked.statuses, asked.closed) == ([200, status], True), (behind, cuts, asked)
        assert [(seen.target, seen.body) for seen in arena.reached()] == [("/victim", b"hello")] * 2


def test_bytes_behind_a_last_request_are_not_read(arena):
    """Connection: close says that nothing follows; what follows all the same is for nobody."""
    asked = arena.ask(post(b"/victim", b"Connection: close\r\nContent-Length: 5\r\n", b"hello" + SMUGGLED))
    assert (asked.statuses, asked.closed) == ([200], True)
    assert [seen.target for seen in arena.reached()] == ["/victim"]


def test_an_upgrade_that_is_not_accepted_tunnels_nothing(arena):
    """The origin says 200 to a WebSocket: what follows is a request like any other, seen by routing."""
    upgrade = (b"GET /socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
               b"Sec-WebSocket-Version: 777\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")  # fmt: skip
    asked = arena.ask(upgrade + b"GET /reply HTTP/1.1\r\nHost: localhost\r\n\r\n", answers=2)
    assert [answer.body for answer in asked.answers] == [b"ok", b"calm"]
    assert [seen.target for seen in arena.reached()] == ["/socket"]


def test_an_unfinished_request_is_never_finished_for_the_client(arena):
    """A client that leaves in the middle of a body: the origin must not take what came for all."""
    for lines, body in ((b"Content-Length: 10\r\n", b"hello"), (CHUNKED, b"5\r\nhello\r\n"), (CHUNKED, b"5\r\nhel")):
        for path in WAYS.values():
            with arena.connect() as connection:
                connection.sendall(post(path, lines, body))
                arena.turn()
    assert arena.reached() == []


def test_a_refusal_is_cheap(arena):
    data = post(b"/victim", HEADS["length and chunked"], BODY)
    with arena.cost("ambiguous framing", CPU_MICROSECONDS_PER_BYTE):
        for _ in range(300):
            arena.ask(data)
    body = post(b"/victim", CHUNKED, b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n")
    with arena.cost("a body of chunks of one byte", CPU_MICROSECONDS_PER_BYTE):
        assert arena.ask(body, answers=1).statuses == [200]
