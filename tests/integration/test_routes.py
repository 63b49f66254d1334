"""Routes: which one takes a request, what it changes on the way, how long it waits, and that what
an upstream is told about the client comes from us alone."""

import asyncio
import json
import socket
import ssl
import threading
import time

import pytest
import websockets
from harness import config
from harness.clients import curl, read_all, tls, tls_context
from harness.h2client import H2Client

UPSTREAM = {"upstream": "web"}


def reply(text, **match):
    return {"match": match, "reply": {"status": 200, "body": text}}


@pytest.fixture
def serve(gateway, origin, certs, tmp_path):
    """serve(routes): a gateway with these for `localhost`, and ask(path, ...) to go with it."""

    def start(routes, **changes):
        made = config.basic([certs.localhost], [origin.endpoint()], tmp_path)
        made["hosts"] = [config.host("localhost", [certs.localhost], routes)]
        gw = gateway(config.merged(made, changes))

        def ask(path, *arguments, **more):
            return curl(gw.url(path), *arguments, cacert=certs.ca.pem, **more)

        ask.gateway = gw
        return ask

    return start


@pytest.fixture
def silent_port():
    """An origin that accepts, reads and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


# ---- which route ----


def test_the_first_route_that_matches_wins(serve):
    ask = serve([
        reply("exact", path="/a"),
        reply("long prefix", path_prefix="/a/b/"),
        reply("prefix", path_prefix="/a"),
        reply("never", path="/a/exact"),
        reply("regex", path_regex="/user/[0-9]+"),
        reply("rest"),
    ])  # fmt: skip
    for path, body in (("/a", "exact"), ("/a?q=1", "exact"), ("/a/b/c", "long prefix"), ("/a/b", "prefix"),
                       ("/a/exact", "prefix"), ("/user/42", "regex"), ("/user/42/", "rest"),
                       ("/user/x", "rest"), ("/A", "rest"), ("/", "rest")):  # fmt: skip
        assert ask(path).body.decode() == body, path


def test_method_header_and_query_must_all_match(serve):
    ask = serve([
        reply("post", path="/m", methods=["POST", "PUT"]),
        reply("canary", path="/h", headers={"x-canary": "1"}),
        reply("user", path="/h", headers={"x-user": {"regex": "[a-z]+"}}),
        reply("nodebug", path="/h", headers={"x-debug": {"present": False}}),
        reply("v2", path="/q", query={"version": "2"}),
        reply("both", path="/q", query={"debug": {"present": True}, "user": {"regex": "[a-z]+"}}),
        reply("rest"),
    ])  # fmt: skip
    assert ask("/m", method="PUT").body == b"post"
    assert ask("/m").body == b"rest"
    assert ask("/h", headers=["X-Canary: 1", "X-Debug: 1"]).body == b"canary"
    assert ask("/h", headers=["X-Canary: 2", "X-Debug: 1"]).body == b"rest"
    assert ask("/h", headers=["X-User: abc", "X-Debug: 1"]).body == b"user"
    assert ask("/h", headers=["X-User: abc1", "X-Debug: 1"]).body == b"rest"
    assert ask("/h").body == b"nodebug"
    for query, body in (("version=2", "v2"), ("a=1&version=2&b", "v2"), ("version=22", "rest"), ("debug", "rest"),
                        ("debug&user=abc", "both"), ("user=abc&debug=0", "both"), ("user=1&debug", "rest")):
        assert ask(f"/q?{query}").body.decode() == body, query


def test_what_nobody_serves_is_a_404_and_a_foreign_name_a_421(serve, gateway, origin, certs, tmp_path):
    ask = serve([reply("only", path="/only")])
    nothing = ask("/else")
    assert (nothing.status, b"no_route" in nothing.body) == (404, True)
    for version in ("1.1", "2"):
        foreign = ask("/only", http=version, headers=["Host: elsewhere.test"])
        assert (foreign.status, b"misdirected" in foreign.body) == (421, True)
    plain = curl(ask.gateway.url("/only", listener="http"), headers=["Host: elsewhere.test"])
    assert plain.status == 404


def test_fixed_replies_and_redirects(serve):
    ask = serve([
        {"match": {"path": "/robots.txt"},
         "reply": {"status": 200, "body": "none\n", "headers": {"cache-control": "max-age=60"}}},
        {"match": {"path": "/gone"}, "reply": {"status": 410}},
        {"match": {"path": "/to"}, "redirect": {"to": "https://example.org/x"}},
        {"match": {"path": "/path"}, "redirect": {"path": "/new", "code": 301}},
        {"match": {"path": "/host"}, "redirect": {"scheme": "http", "host": "www.example.com", "code": 307}},
    ])  # fmt: skip
    robots = ask("/robots.txt")
    assert (robots.status, robots.body, robots.header("cache-control")) == (200, b"none\n", "max-age=60")
    assert ask("/robots.txt", method="HEAD").header("content-length") == "5"
    gone = ask("/gone")
    assert (gone.status, gone.body) == (410, b"")
    port = ask.gateway.port()
    for path, status, location in (
        ("/to?a=1", 308, "https://example.org/x"),
        ("/path?a=1", 301, f"https://localhost:{port}/new?a=1"),
        ("/host?a=1", 307, "http://www.example.com/host?a=1"),
    ):
        response = ask(path)
        assert (response.status, response.header("location")) == (status, location)


def test_a_plain_listener_redirects_but_for_its_own_routes(serve):
    listeners = [
        {"name": "https", "address": "127.0.0.1:0"},
        {"name": "http", "protocol": "http", "address": "127.0.0.1:0", "redirect": "https", "redirect_port": 8443,
         "routes": [{"match": {"path_prefix": "/.well-known/acme-challenge/"}, **UPSTREAM}]},
    ]  # fmt: skip
    ask = serve([UPSTREAM], listeners=listeners)
    moved = curl(ask.gateway.url("/a/b?c=d", listener="http"))
    assert (moved.status, moved.header("location")) == (308, "https://localhost:8443/a/b?c=d")
    assert curl(ask.gateway.url("/.well-known/acme-challenge/x", listener="http")).status == 200


# ---- what changes on the way ----


def seen_headers(response):
    fields = {}
    for name, value in json.loads(response.body)["headers"]:
        fields.setdefault(name.lower(), []).append(value)
    return fields


def test_headers_are_removed_set_and_added_in_both_directions(serve):
    ask = serve([{
        **UPSTREAM,
        "request_headers": {"remove": ["x-secret"], "set": {"x-from": "sallyport"}, "add": {"x-list": "ours"}},
        "response_headers": {"remove": ["content-type"], "set": {"x-set": "1"}, "add": {"x-added": "2"}},
    }])  # fmt: skip
    for version in ("1.1", "2"):
        response = ask("/echo", http=version, headers=["X-Secret: 1", "X-From: client", "X-List: theirs"])
        seen = seen_headers(response)
        assert "x-secret" not in seen
        assert seen["x-from"] == ["sallyport"]
        assert seen["x-list"] == ["theirs", "ours"]
        assert response.header("content-type") is None
        assert (response.header("x-set"), response.header("x-added")) == ("1", "2")


def test_prefix_and_host_are_rewritten_and_the_log_keeps_what_was_asked(serve):
    ask = serve([
        {"match": {"path_prefix": "/api/"}, "rewrite": {"prefix": "/", "host": "api.internal"}, **UPSTREAM},
        UPSTREAM,
    ])  # fmt: skip
    response = ask("/api/echo?x=1")
    seen = json.loads(response.body)
    assert seen["target"] == "/echo?x=1"
    assert seen_headers(response)["host"] == ["api.internal"]
    assert seen_headers(response)["x-forwarded-host"] == [f"localhost:{ask.gateway.port()}"]
    line = ask.gateway.wait_access(1, target="/api/echo?x=1")[0]
    assert line["authority"] == f"localhost:{ask.gateway.port()}"


def test_forwarded_headers_are_ours_and_a_clients_own_are_not_believed(serve):
    """A client that could write these would choose its own address, scheme and name."""
    ask = serve([UPSTREAM])
    lies = ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: gopher", "X-Forwarded-Host: evil.test",
            "X-Forwarded-Port: 1", "X-Real-IP: 6.6.6.6", "Forwarded: for=6.6.6.6", "X-Request-Id: mine",
            "Via: 1.0 before"]  # fmt: skip
    for version, hop in (("1.1", "1.1 sallyport"), ("2", "2.0 sallyport")):
        seen = seen_headers(ask("/echo", http=version, headers=lies))
        assert seen["x-forwarded-for"] == ["127.0.0.1"]
        assert seen["x-forwarded-proto"] == ["https"]
        assert seen["x-forwarded-host"] == [f"localhost:{ask.gateway.port()}"]
        assert seen["x-forwarded-port"] == [str(ask.gateway.port())]
        assert "forwarded" not in seen
        assert seen.get("x-real-ip") in (None, ["127.0.0.1"])
        assert seen["x-request-id"] != ["mine"] and len(seen["x-request-id"][0]) == 32
        assert ", ".join(seen["via"]) == f"1.0 before, {hop}"
        assert ask.gateway.wait_access(1, request_id=seen["x-request-id"][0])
    plain = seen_headers(curl(ask.gateway.url("/echo", listener="http"), headers=lies))
    assert plain["x-forwarded-proto"] == ["http"]


def test_a_clients_connection_header_takes_none_of_our_fields_away(serve):
    """Naming X-Forwarded-For in Connection must not strip what the upstream relies on."""
    ask = serve([{**UPSTREAM, "request_headers": {"set": {"x-from": "sallyport"}}}])
    response = ask("/echo", http="1.1", headers=["Connection: X-Forwarded-For, X-From, X-Hop", "X-Hop: 1"])
    seen = seen_headers(response)
    assert seen["x-forwarded-for"] == ["127.0.0.1"]
    assert seen["x-from"] == ["sallyport"]
    assert "x-hop" not in seen


# ---- time and size ----


def test_an_upstream_that_does_not_answer_in_time_is_a_504(serve):
    ask = serve([{**UPSTREAM, "timeouts": {"first_byte": "200ms"}}])
    for version in ("1.1", "2"):
        late = ask("/delay/60000", http=version)
        assert (late.status, b"upstream_timeout" in late.body) == (504, True)
    assert ask("/delay/1").status == 200
    line = ask.gateway.wait_access(2, status=504)[0]
    assert (line["reason"], line["fault"]) == ("upstream_timeout", "upstream")
    assert 0.2 <= line["duration_s"] < 5


def test_a_silent_upstream_is_a_504_and_a_post_is_not_sent_twice(serve, silent_port):
    ask = serve([{**UPSTREAM, "timeouts": {"first_byte": "200ms"}}],
                upstreams={"web": {"endpoints": [f"127.0.0.1:{silent_port}"]}})  # fmt: skip
    late = ask("/", method="POST", data=b"once")
    assert (late.status, b"upstream_timeout" in late.body) == (504, True)
    assert ask.gateway.wait_access(1, status=504)[0]["retries"] == 0


def test_a_body_that_stops_is_cut_by_the_idle_timeout(serve):
    ask = serve([{**UPSTREAM, "timeouts": {"idle": "200ms"}}])
    assert len(ask("/stream/10?interval=30").body) == 640  # longer than the timeout in all
    for version in ("1.1", "2"):
        cut = ask("/stream/3?interval=60000", http=version)
        assert (cut.status, cut.exit_code in (18, 56, 92)) == (200, True), cut.error
    assert ask.gateway.wait_access(2, error="idle_timeout")


def test_the_total_timeout_bounds_the_whole_exchange(serve):
    ask = serve([
        {"match": {"path_prefix": "/stream/"}, "timeouts": {"total": "300ms"}, **UPSTREAM},
        {"timeouts": {"total": "200ms"}, **UPSTREAM},
    ])  # fmt: skip
    late = ask("/delay/60000")
    assert (late.status, b"upstream_timeout" in late.body) == (504, True)
    cut = ask("/stream/1000?interval=20")
    assert (cut.status, cut.exit_code in (18, 56, 92)) == (200, True), cut.error


def test_a_websocket_outlives_the_timeout_of_request_bodies_and_not_its_own(serve, certs):
    ask = serve([{**UPSTREAM, "timeouts": {"tunnel": "1500ms"}}], timeouts={"request_body": "200ms"})

    async def talk():
        trust = ssl.create_default_context(cafile=str(certs.ca.pem))
        url = f"wss://localhost:{ask.gateway.port()}/ws"
        async with websockets.connect(url, ssl=trust, compression=None, ping_interval=None) as socket_:
            begun = time.monotonic()
            while time.monotonic() < begun + 0.8:
                await socket_.send("still here")
                assert await socket_.recv() == "still here"
                await asyncio.sleep(0.01)
            with pytest.raises(websockets.ConnectionClosed):
                await asyncio.wait_for(socket_.recv(), 20)
            assert time.monotonic() - begun >= 0.8 + 1.4

    asyncio.run(talk())


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_body_over_the_limit_is_a_413(serve, certs, chunked):
    """Announced or not: nobody fills a disk behind a limit by leaving Content-Length out."""
    ask = serve([
        {"match": {"path_prefix": "/big"}, "limits": {"request_body": "1MiB"}, "rewrite": {"prefix": "/upload"},
         **UPSTREAM},
        {"limits": {"request_body": "1KiB"}, **UPSTREAM},
    ])  # fmt: skip
    headers = ["Transfer-Encoding: chunked"] if chunked else []
    assert ask("/upload", http="1.1", method="POST", data=b"x" * 1024, headers=headers).status == 200
    assert ask("/big", http="1.1", method="POST", data=b"x" * 1025, headers=headers).status == 200
    over = ask("/upload", http="1.1", method="POST", data=b"x" * 1025, headers=headers)
    assert (over.status, b"body_too_large" in over.body) == (413, True), over.error
    with tls(ask.gateway.port(), tls_context(certs.ca.pem)) as connection:
        client = H2Client(connection)
        length = [] if chunked else [("content-length", "1025")]
        assert client.post("/upload", b"x" * 1025, headers=length).status == 413
        assert client.post("/upload", b"x" * 1024).status == 200  # the connection goes on


def test_the_response_to_a_refused_body_reaches_a_client_that_goes_on_sending(serve, certs):
    """A reset right behind the answer would take it away from the client (RFC 9112 §9.6)."""
    ask = serve([{"limits": {"request_body": "1KiB"}, **UPSTREAM}])
    with tls(ask.gateway.port(), tls_context(certs.ca.pem, alpn=("http/1.1",))) as connection:
        connection.sendall(b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n")

        def send():
            try:
                connection.sendall(b"x" * 3_000_000)
            except OSError:
                pass

        sender = threading.Thread(target=send)
        sender.start()
        answer = read_all(connection)
        sender.join()
    assert answer.startswith(b"HTTP/1.1 413 "), answer[:200]
    assert b"connection: close" in answer.lower()
