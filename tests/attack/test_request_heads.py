"""Malformed heads: what a client may not say in a request line or a field, since some recipient
behind the gateway would read it otherwise: as another host, another field, another request. Each is
refused with 400 and a closed connection, wherever it is cut, and reaches no origin. What is good but
meant for one hop, or for nobody, does not reach an origin either."""

import pytest
from arena import EVERY, LOCAL_REPLIES

GET = b"GET /victim HTTP/1.1\r\nHost: localhost\r\n"
END = b"\r\n"


def line(first: bytes) -> bytes:
    return first + b"\r\nHost: localhost\r\n\r\n"


REQUEST_LINES = {
    "bare LF": b"GET /victim HTTP/1.1\nHost: localhost\n\n",
    "bare LF, then CR LF": b"GET /victim HTTP/1.1\nHost: localhost\r\n\r\n",
    "bare CR": b"GET /victim HTTP/1.1\rHost: localhost\r\r",
    "CR in the target": line(b"GET /vic\rtim HTTP/1.1"),
    "LF in the target": line(b"GET /vic\ntim HTTP/1.1"),
    "NUL in the target": line(b"GET /vic\x00tim HTTP/1.1"),
    "DEL in the target": line(b"GET /vic\x7ftim HTTP/1.1"),
    "tab in the target": line(b"GET /vic\ttim HTTP/1.1"),
    "space in the target": line(b"GET /vic tim HTTP/1.1"),
    "escape in the target": line(b"GET /vic\x1btim HTTP/1.1"),
    "non-ASCII target": line("GET /vïctim HTTP/1.1".encode()),
    "high byte in the target": line(b"GET /vic\xfftim HTTP/1.1"),
    "a fragment": line(b"GET /victim#here HTTP/1.1"),
    "a fragment in the query": line(b"GET /victim?a#here HTTP/1.1"),
    "a target without a slash": line(b"GET victim HTTP/1.1"),
    "an asterisk that is not for OPTIONS": line(b"GET * HTTP/1.1"),
    "an asterisk and more": line(b"OPTIONS *x HTTP/1.1"),
    "no target": line(b"GET HTTP/1.1"),
    "an empty target": line(b"GET  HTTP/1.1"),
    "two spaces before the target": line(b"GET  /victim HTTP/1.1"),
    "two spaces before the version": line(b"GET /victim  HTTP/1.1"),
    "a tab before the target": line(b"GET\t/victim HTTP/1.1"),
    "a tab before the version": line(b"GET /victim\tHTTP/1.1"),
    "a space behind the version": line(b"GET /victim HTTP/1.1 "),
    "more behind the version": line(b"GET /victim HTTP/1.1 GET"),
    "a space before the method": line(b" GET /victim HTTP/1.1"),
    "no method": line(b" /victim HTTP/1.1"),
    "a method with a control byte": line(b"GE\x01T /victim HTTP/1.1"),
    "a method with a separator": line(b"GET: /victim HTTP/1.1"),
    "a method with a slash": line(b"GE/T /victim HTTP/1.1"),
    "a method in UTF-8": line("GÉT /victim HTTP/1.1".encode()),
    "no version": line(b"GET /victim"),
    "no version, a space": line(b"GET /victim "),
    "version in lower case": line(b"GET /victim http/1.1"),
    "version HTTP/1": line(b"GET /victim HTTP/1"),
    "version HTTP/1.": line(b"GET /victim HTTP/1."),
    "version HTTP/1.10": line(b"GET /victim HTTP/1.10"),
    "version HTTP/01.1": line(b"GET /victim HTTP/01.1"),
    "version HTTP/+1.1": line(b"GET /victim HTTP/+1.1"),
    "version HTTP/1,1": line(b"GET /victim HTTP/1,1"),
    "version HTTP /1.1": line(b"GET /victim HTTP /1.1"),
    "version HTTPS/1.1": line(b"GET /victim HTTPS/1.1"),
    "version ICY/1.1": line(b"GET /victim ICY/1.1"),
    "another scheme": line(b"GET ftp://localhost/victim HTTP/1.1"),
    "another scheme that resembles": line(b"GET httpx://localhost/victim HTTP/1.1"),
    "https on a plain connection": line(b"GET https://localhost/victim HTTP/1.1"),
    "one slash behind the scheme": line(b"GET http:/localhost/victim HTTP/1.1"),
    "absolute form for another host": line(b"GET http://other/victim HTTP/1.1"),
    "absolute form for a host that continues ours": line(b"GET http://localhost.evil/victim HTTP/1.1"),
    "absolute form with another port": line(b"GET http://localhost:81/victim HTTP/1.1"),
    "absolute form with a user": line(b"GET http://user@localhost/victim HTTP/1.1"),
    "absolute form with user and password": line(b"GET http://localhost:80@evil/victim HTTP/1.1"),
    "absolute form without a host": line(b"GET http:///victim HTTP/1.1"),
    "absolute form with a backslash": line(b"GET http://localhost\\evil/victim HTTP/1.1"),
    "absolute form with an escaped host": line(b"GET http://%6cocalhost/victim HTTP/1.1"),
    "absolute form without Host": b"GET http://localhost/victim HTTP/1.1\r\n\r\n",
}
FIELDS = {
    "no Host": b"GET /victim HTTP/1.1\r\n",
    "Host twice": GET + b"Host: localhost\r\n",
    "two hosts": GET + b"Host: evil\r\n",
    "two hosts in other case": GET + b"hOST: evil\r\n",
    "hosts listed": b"GET /victim HTTP/1.1\r\nHost: localhost, evil\r\n",
    "Host empty": b"GET /victim HTTP/1.1\r\nHost:\r\n",
    "Host with a user": b"GET /victim HTTP/1.1\r\nHost: user@localhost\r\n",
    "Host with a path": b"GET /victim HTTP/1.1\r\nHost: localhost/x\r\n",
    "Host with a query": b"GET /victim HTTP/1.1\r\nHost: localhost?x\r\n",
    "Host with a fragment": b"GET /victim HTTP/1.1\r\nHost: localhost#x\r\n",
    "Host with a backslash": b"GET /victim HTTP/1.1\r\nHost: localhost\\x\r\n",
    "Host with a space": b"GET /victim HTTP/1.1\r\nHost: localhost evil\r\n",
    "Host with a tab": b"GET /victim HTTP/1.1\r\nHost: localhost\tevil\r\n",
    "Host with a NUL": b"GET /victim HTTP/1.1\r\nHost: localhost\x00evil\r\n",
    "Host with an escape": b"GET /victim HTTP/1.1\r\nHost: local%68ost\r\n",
    "Host with two dots": b"GET /victim HTTP/1.1\r\nHost: local..host\r\n",
    "Host that begins with a dot": b"GET /victim HTTP/1.1\r\nHost: .localhost\r\n",
    "Host in UTF-8": "GET /victim HTTP/1.1\r\nHost: löcalhost\r\n".encode(),
    "Host with a port that is none": b"GET /victim HTTP/1.1\r\nHost: localhost:x\r\n",
    "Host with port 0": b"GET /victim HTTP/1.1\r\nHost: localhost:0\r\n",
    "Host with port 65536": b"GET /victim HTTP/1.1\r\nHost: localhost:65536\r\n",
    "Host with an empty port": b"GET /victim HTTP/1.1\r\nHost: localhost:\r\n",
    "Host with two ports": b"GET /victim HTTP/1.1\r\nHost: localhost:80:80\r\n",
    "Host with a port +80": b"GET /victim HTTP/1.1\r\nHost: localhost:+80\r\n",
    "Host with a scheme": b"GET /victim HTTP/1.1\r\nHost: http://localhost\r\n",
    "Host with brackets": b"GET /victim HTTP/1.1\r\nHost: [localhost]\r\n",
    "Host with an open bracket": b"GET /victim HTTP/1.1\r\nHost: [::1\r\n",
    "Host with a zone": b"GET /victim HTTP/1.1\r\nHost: [fe80::1%25lo]\r\n",
    "Host folded": b"GET /victim HTTP/1.1\r\nHost:\r\n localhost\r\n",
    "Host behind a folded line": b"GET /victim HTTP/1.1\r\nX: y\r\n Host: evil\r\nHost: localhost\r\n",
    "the first line folded": b"GET /victim HTTP/1.1\r\n Host: localhost\r\nHost: localhost\r\n",
    "space before the colon of Host": b"GET /victim HTTP/1.1\r\nHost : localhost\r\n",
    "space before a colon": GET + b"X : y\r\n",
    "tab before a colon": GET + b"X\t: y\r\n",
    "space within a name": GET + b"X Y: z\r\n",
    "space before a name": GET + b" X: y\r\n",
    "folded by a space": GET + b"X: y\r\n z\r\n",
    "folded by a tab": GET + b"X: y\r\n\tz\r\n",
    "folded by nothing but a space": GET + b"X: y\r\n \r\n",
    "no name": GET + b": y\r\n",
    "no colon": GET + b"X\r\n",
    "a name in UTF-8": GET + "Ä: y\r\n".encode(),
    "a name with NUL": GET + b"X\x00: y\r\n",
    "a name with a control byte": GET + b"X\x01: y\r\n",
    "a name with DEL": GET + b"X\x7f: y\r\n",
    "a name with a bracket": GET + b"X(Y): z\r\n",
    "a name with a slash": GET + b"X/Y: z\r\n",
    "a name with a quote": GET + b'"X": z\r\n',
    "a value with NUL": GET + b"X: a\x00b\r\n",
    "a value with a bare LF": GET + b"X: a\nY: b\r\n",
    "a value with a bare CR": GET + b"X: a\rY: b\r\n",
    "a value with a bell": GET + b"X: a\x07b\r\n",
    "a value with DEL": GET + b"X: a\x7fb\r\n",
    "a value with an escape": GET + b"X: a\x1bb\r\n",
    "a value with a form feed": GET + b"X: a\x0cb\r\n",
    "a value that ends in CR CR LF": GET + b"X: a\r\r\n",
    "a pseudo field": GET + b":path: /other\r\n",
    "Connection with a separator": GET + b"Connection: a;b\r\n",
    "Connection with a quote": GET + b'Connection: "close"\r\n',
    "Connection with more options than are sane": GET + b"Connection: " + b",".join(b"a%d" % n for n in range(40)) + b"\r\n",
}  # fmt: skip


def refused(arena, data: bytes, status: int):
    head = len(data)
    for places in ((), (1,), (head // 2,), (head - 1,), EVERY):
        asked = arena.ask(data + b"GET /second HTTP/1.1\r\nHost: localhost\r\n\r\n", cuts=places)
        assert (asked.statuses, asked.closed, asked.rest) == ([status], True, b""), (places, asked)
    assert arena.reached() == []


@pytest.mark.parametrize("name", REQUEST_LINES)
def test_a_malformed_request_line_is_refused(arena, name):
    with arena.moved(LOCAL_REPLIES, by=5, code="400", reason="bad_request"):
        refused(arena, REQUEST_LINES[name], 400)


@pytest.mark.parametrize("name", FIELDS)
def test_a_malformed_field_is_refused(arena, name):
    with arena.moved(LOCAL_REPLIES, by=5, code="400", reason="bad_request"):
        refused(arena, FIELDS[name] + END, 400)


@pytest.mark.parametrize("version", [b"HTTP/0.9", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/2.0", b"HTTP/3.0", b"HTTP/9.9"])
def test_a_version_that_is_not_spoken_is_refused(arena, version):
    refused(arena, line(b"GET /victim " + version), 501)


LIMITS = {
    "a target that is too long": (line(b"GET /" + b"a" * 9000 + b" HTTP/1.1"), 414),
    "a method that is too long": (line(b"G" * 9000 + b" /victim HTTP/1.1"), None),
    "a field that is too long": (GET + b"X: " + b"a" * 17_000 + b"\r\n\r\n", 431),
    "a name that is too long": (GET + b"X" * 17_000 + b": a\r\n\r\n", 431),
    "too many fields": (GET + b"X: a\r\n" * 200 + b"\r\n", 431),
    "too many bytes": (GET + (b"X: " + b"a" * 1000 + b"\r\n") * 70 + b"\r\n", 431),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_head_over_its_limits_is_refused(arena, name):
    data, status = LIMITS[name]
    asked = arena.ask(data)
    assert asked.closed and asked.statuses in ([[status]] if status else [[400], [431], [501]]), asked
    assert arena.reached() == []


# ---- what concerns one hop, or nobody -------------------------------------------------------------

HOPS = {
    "fields that Connection lists": (b"Connection: X-Hop, x-other ,,\r\nX-Hop: 1\r\nX-OTHER: 2\r\nX-Stays: 3\r\n", {"x-stays": ["3"]}),
    "Keep-Alive": (b"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n", {}),
    "Proxy-Connection": (b"Proxy-Connection: keep-alive\r\n", {}),
    "TE": (b"TE: gzip, deflate;q=0.5\r\n", {}),
    "Upgrade: h2c": (b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n", {}),
    "Upgrade: h2c that Connection does not list": (b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n", {}),
    "Upgrade to TLS": (b"Connection: upgrade\r\nUpgrade: TLS/1.0\r\n", {}),
    "Upgrade to what nobody knows": (b"Connection: upgrade\r\nUpgrade: foo/2, bar\r\n", {}),
    "a field of ours that Connection lists": (b"Connection: X-Forwarded-For, X-Forwarded-Proto, Via\r\nX-Forwarded-For: 9.9.9.9\r\n",
                                              {"x-forwarded-for": ["127.0.0.1"], "x-forwarded-proto": ["http"]}),
    "Host that Connection lists": (b"Connection: host\r\n", {"host": ["localhost"]}),
    "what a client says of itself": (b"X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 8.8.8.8\r\nX-Real-IP: 7.7.7.7\r\n"
                                     b"Forwarded: for=6.6.6.6\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\n",
                                     {"x-forwarded-for": ["127.0.0.1"], "x-real-ip": [], "forwarded": [],
                                      "x-forwarded-host": ["localhost"], "x-forwarded-proto": ["http"]}),
    "authorization": (b"Authorization: Basic QQ==\r\n", {"authorization": ["Basic QQ=="]}),
    "obs-text": (b"X-Name: \xc3\xa4\xff\r\n", {"x-name": ["\xc3\xa4\xff"]}),
    "an empty value": (b"X-Empty:\r\n", {"x-empty": [""]}),
}  # fmt: skip
ONE_HOP = {"keep-alive", "proxy-connection", "te", "upgrade", "http2-settings", "x-hop", "x-other", "transfer-encoding"}


@pytest.mark.parametrize("path", [b"/victim", b"/h2/victim"])
@pytest.mark.parametrize("name", HOPS)
def test_what_concerns_one_hop_reaches_no_origin(arena, name, path):
    lines, expected = HOPS[name]
    asked = arena.ask(GET.replace(b"/victim", path) + lines + END, answers=1)
    assert asked.statuses == [200]
    (seen,) = arena.reached()
    names = {key.lower() for key, _ in seen.fields}
    assert not names & ONE_HOP, seen
    if "connection" in names:
        assert seen.all("connection") == ["close"] or path == b"/victim", seen
    for key, values in expected.items():
        assert (seen.all(key) if key != "host" else [seen.authority]) == values, seen
    assert b"h2c" not in bytes(arena.origin.raw).lower().replace(b"/h2/", b"")


GOOD = {
    "absolute form": (b"GET http://localhost/victim?q HTTP/1.1\r\nHost: localhost\r\n", "/victim?q"),
    "absolute form in other case": (b"GET HTTP://LOCALHOST/victim HTTP/1.1\r\nHost: localhost\r\n", "/victim"),
    "absolute form without a path": (b"GET http://localhost HTTP/1.1\r\nHost: localhost\r\n", "/"),
    "absolute form with a query alone": (b"GET http://localhost?q HTTP/1.1\r\nHost: localhost\r\n", "/?q"),
    "an asterisk": (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n", "*"),
    "HTTP/1.0": (b"GET /victim HTTP/1.0\r\nHost: localhost\r\n", "/victim"),
    "a Host with a port": (b"GET /victim HTTP/1.1\r\nHost: localhost:8080\r\n", "/victim"),
    "a Host in other case with a final dot": (b"GET /victim HTTP/1.1\r\nHost: LocalHost.\r\n", "/victim"),
    "a method that nobody knows": (b"BREW /victim HTTP/1.1\r\nHost: localhost\r\n", "/victim"),
    "visible ASCII": (b"GET /!$&'()*+,-.:;=@[]^_`{|}~\"<>?/?:@ HTTP/1.1\r\nHost: localhost\r\n",
                      "/!$&'()*+,-.:;=@[]^_`{|}~\"<>?/?:@"),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_a_good_head_is_served_wherever_it_is_cut(arena, name):
    data, target = GOOD[name]
    for cuts in ((), EVERY):
        arena.forget()
        assert arena.ask(data + END, cuts, answers=1).statuses == [200]
        assert [seen.target for seen in arena.reached()] == [target]


def test_an_empty_line_before_a_request_is_no_request(arena):
    """RFC 9112 §2.2 asks to bear one; whatever is done, no origin sees two requests."""
    asked = arena.ask(b"\r\n" + GET + END, answers=1)
    assert asked.statuses in ([200], [400])
    assert len(arena.reached()) == (1 if asked.statuses == [200] else 0)


# ---- methods that are no business of a client ------------------------------------------------------


def test_trace_is_refused(arena):
    """It would show a script the fields that the gateway adds and the cookies that it may not read."""
    for path in (b"/victim", b"/h2/victim"):
        with arena.moved(LOCAL_REPLIES, code="405", reason="method_not_allowed"):
            asked = arena.ask(GET.replace(b"GET /victim", b"TRACE " + path) + END, answers=1)
        assert asked.statuses == [405] and asked.answers[0].all("allow"), asked
    assert arena.ask(b"TRACE * HTTP/1.1\r\nHost: localhost\r\n\r\n").statuses == [400]
    assert arena.reached() == []


@pytest.mark.parametrize("target", [b"localhost:443", b"localhost", b"127.0.0.1:22", b"/victim", b"*", b"http://localhost/"])
def test_connect_is_refused(arena, target):
    """The gateway is no way to other ports and hosts."""
    asked = arena.ask(b"CONNECT %s HTTP/1.1\r\nHost: localhost\r\n\r\nGET /second HTTP/1.1\r\nHost: localhost\r\n\r\n" % target)
    assert (asked.statuses, asked.closed) in (([501], True), ([400], True)), asked
    assert arena.reached() == []


def test_a_refusal_is_cheap(arena):
    for what, data in (
        ("a bare LF", REQUEST_LINES["bare LF"]),
        ("too many fields", LIMITS["too many fields"][0]),
        ("fields that Connection lists", GET + b"Connection: " + b",".join(b"a%d" % n for n in range(30)) + b"\r\n"
         + b"".join(b"A%d: x\r\n" % n for n in range(100)) + END),
    ):  # fmt: skip
        with arena.cost(what, 10.0):
            for _ in range(100):
                arena.ask(data, answers=1)
