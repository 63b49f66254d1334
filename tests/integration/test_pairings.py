"""HTTP/1.1 and h2 from clients, HTTP/1.1 and h2c to upstreams: every pairing carries the same
messages, whole, in both directions, and tells the same errors."""

import hashlib
import json
import re

import pytest
from harness import config
from harness.clients import curl, read_all, read_until, tcp, tls, tls_context
from harness.h2client import H2Client
from harness.origin import pattern

CLIENTS = ("1.1", "2")
UPSTREAMS = ("h1", "h2")


@pytest.fixture
def pair(gateway, origin, certs, tmp_path):
    """One gateway with both kinds of upstream behind /h1/ and /h2/."""
    routes = [
        {"match": {"path_prefix": f"/{kind}/"}, "rewrite": {"prefix": "/"}, "upstream": kind} for kind in UPSTREAMS
    ]
    made = config.basic([certs.localhost], [origin.endpoint()], tmp_path)
    made["hosts"] = [config.host("localhost", [certs.localhost], routes)]
    made["upstreams"] = {
        "h1": {"protocol": "h1", "endpoints": [origin.endpoint("h1")]},
        "h2": {"protocol": "h2", "endpoints": [origin.endpoint("h2")]},
    }
    return gateway(made)


@pytest.fixture(params=[(c, u) for c in CLIENTS for u in UPSTREAMS], ids=lambda p: f"client{p[0]}-upstream-{p[1]}")
def ask(request, pair, certs):
    """ask(path, **curl's) through one of the four pairings."""
    client, upstream = request.param

    def call(path, *arguments, **more):
        return curl(pair.url(f"/{upstream}{path}"), *arguments, http=client, cacert=certs.ca.pem, **more)

    call.gateway, call.client, call.upstream = pair, client, upstream
    return call


@pytest.mark.parametrize("size", [0, 1, 1000, 16384, 65536, 3_000_001])
def test_a_response_body_arrives_byte_for_byte(ask, size):
    response = ask(f"/bytes/{size}")
    assert (response.exit_code, response.status) == (0, 200), response.error
    assert response.body == pattern(size)


@pytest.mark.parametrize("size", [0, 1, 16384, 3_000_001])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_request_body_arrives_byte_for_byte(ask, size, chunked):
    data = pattern(size)
    headers = ["Transfer-Encoding: chunked"] if chunked and ask.client == "1.1" else []
    response = ask("/upload", method="POST", data=data, headers=headers)
    assert response.status == 200, response.error
    assert json.loads(response.body) == {"bytes": size, "sha256": hashlib.sha256(data).hexdigest()}


def test_head_and_empty_statuses_have_no_body_and_the_connection_goes_on(ask):
    head = ask("/bytes/1234", method="HEAD")
    assert (head.exit_code, head.status, head.header("content-length")) == (0, 200, "1234")
    for status in (204, 304):
        response = ask(f"/status/{status}")
        assert (response.exit_code, response.status, response.body) == (0, status, b"")
    assert ask("/status/404").status == 404


def test_early_hints_reach_the_client_before_the_response(ask):
    response = ask("/103")
    assert [status for status, _ in response.interim] == [103]
    assert response.status == 200


def test_expect_100_continue_is_answered_by_the_upstream(ask):
    response = ask("/upload", method="POST", data=b"x" * 100_000, headers=["Expect: 100-continue"])
    assert response.status == 200, response.error
    assert json.loads(response.body)["bytes"] == 100_000


def test_an_early_answer_to_an_upload_arrives(ask):
    response = ask("/early", method="POST", data=b"x" * 5_000_000)
    assert response.status == 413, response.error


def test_trailers_reach_a_client_that_takes_them(pair, certs):
    for upstream in UPSTREAMS:
        with tls(pair.port(), tls_context(certs.ca.pem)) as connection:
            response = H2Client(connection).get(f"/{upstream}/trailers")
        assert ("x-checksum", "abc123") in response.trailers
        with tls(pair.port(), tls_context(certs.ca.pem, alpn=("http/1.1",))) as connection:
            connection.sendall(
                f"GET /{upstream}/trailers HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\n"
                "Connection: TE, close\r\n\r\n".encode()
            )
            assert b"x-checksum: abc123\r\n" in read_all(connection).lower()


def test_request_trailers_reach_the_upstream(pair, certs):
    for upstream in UPSTREAMS:
        with tls(pair.port(), tls_context(certs.ca.pem)) as connection:
            client = H2Client(connection)
            number = client.start("POST", f"/{upstream}/echo", end=False)
            client.send(number, b"body")
            client.trailers(number, [("x-sum", "42")])
            seen = json.loads(client.response(number).body)
        assert ["x-sum", "42"] in seen["trailers"]
        assert seen["body"]["bytes"] == 4


def test_a_response_cut_short_never_looks_whole(ask):
    """Smuggling and cache poisoning live on truncated answers that pass for complete ones."""
    response = ask("/short/2000000")
    assert response.exit_code in (18, 56, 92), (response.exit_code, response.error)


def test_half_an_answer_that_comes_with_its_end_is_a_502_and_no_mixture(pair, certs):
    """Nothing of it has been passed on yet, so a page that says why can stand in its place."""
    for upstream in UPSTREAMS:
        with tls(pair.port(), tls_context(certs.ca.pem, alpn=("http/1.1",))) as connection:
            request = f"GET /{upstream}/short HTTP/1.1\r\nHost: localhost\r\n\r\n"
            connection.sendall(request.encode() * 2 + request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").encode())
            answer = read_all(connection)
        while answer.startswith(b"HTTP/1.1 502"):
            head, answer = answer.split(b"\r\n\r\n", 1)
            length = int(re.search(rb"content-length: (\d+)", head.lower()).group(1))
            page, answer = answer[:length], answer[length:]
            assert page.startswith(b"502 ") and b"\nrequest " in page
        # The end came a moment later, and the answer was cut with the connection.
        assert answer == b"" or answer.startswith(b"HTTP/1.1 200")


def test_an_upstream_that_resets_before_it_answers_is_a_502(ask):
    response = ask("/reset")
    assert (response.exit_code, response.status) == (0, 502)
    assert b"upstream_reset" in response.body


def test_a_client_that_leaves_is_told_to_the_upstream(pair, certs, origin):
    for upstream in UPSTREAMS:
        before = origin.stats()["canceled"]
        with tls(pair.port(), tls_context(certs.ca.pem)) as connection:
            client = H2Client(connection)
            number = client.start("GET", f"/{upstream}/stream/1000?interval=50")
            client.wait(lambda: client.streams[number].body, "the first piece")
            client.cancel(number)
            origin.wait_stat("canceled", before + 1)


def test_a_stream_that_fails_is_reset_and_its_neighbours_are_not(pair, certs):
    with tls(pair.port(), tls_context(certs.ca.pem)) as connection:
        client = H2Client(connection)
        for upstream in UPSTREAMS:
            neighbour = client.start("GET", f"/{upstream}/stream/20?interval=5")
            failing = client.start("GET", f"/{upstream}/short/2000000")
            assert client.response(failing).reset is not None
            assert len(client.response(neighbour).body) == 20 * 64


def test_http10_clients_get_a_body_that_ends_with_the_connection(pair, certs):
    for upstream in UPSTREAMS:
        with tls(pair.port(), tls_context(certs.ca.pem, alpn=())) as connection:
            connection.sendall(f"GET /{upstream}/stream/3?interval=1 HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            answer = read_all(connection)
        head, body = answer.split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 200"), head
        assert b"chunked" not in head.lower()
        assert len(body) == 3 * 64


def test_pipelined_requests_are_answered_in_order(pair, certs):
    with tls(pair.port(), tls_context(certs.ca.pem, alpn=("http/1.1",))) as connection:
        connection.sendall(
            b"".join(f"GET /{u}/bytes/{n} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
                     for n, u in ((5, "h1"), (6, "h2"), (7, "h1"), (8, "h2")))
            + b"GET /h1/bytes/9 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )  # fmt: skip
        answer = read_all(connection)
    lengths = [int(line.split(b":")[1]) for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length")]
    assert lengths == [5, 6, 7, 8, 9]


def test_server_sent_events_come_one_by_one(pair, certs):
    for upstream in UPSTREAMS:
        with tls(pair.port(), tls_context(certs.ca.pem)) as connection:
            client = H2Client(connection)
            number = client.start("GET", f"/{upstream}/sse/3?interval=300")
            for event in range(3):
                client.wait(lambda: f"data: event {event}\n\n".encode() in client.streams[number].body, "an event")
                # The next one has not been made yet: nothing on the way waited for more.
                assert f"event {event + 1}".encode() not in client.streams[number].body
            assert client.response(number).ended


def test_many_streams_of_one_connection_do_not_disturb_each_other(pair, certs):
    with tls(pair.port(), tls_context(certs.ca.pem)) as connection:
        client = H2Client(connection)
        wanted = {client.start("GET", f"/{UPSTREAMS[i % 2]}/bytes/{i * 997}"): i * 997 for i in range(80)}
        for number, size in wanted.items():
            assert client.response(number).body == pattern(size)


def test_clear_text_clients_speak_h2c_by_prior_knowledge_and_http1(gateway, origin, certs, tmp_path):
    made = config.basic([certs.localhost], [origin.endpoint()], tmp_path)
    gw = gateway(made)
    for version in ("1.1", "2-prior-knowledge"):
        response = curl(gw.url("/bytes/10", listener="http"), http=version)
        assert (response.status, response.body) == (200, pattern(10)), response.error


def test_a_kept_connection_serves_many_requests_over_few_upstream_connections(pair, origin, certs):
    before = origin.stats()["connections"]
    with tls(pair.port(), tls_context(certs.ca.pem, alpn=("http/1.1",))) as connection:
        for _ in range(50):
            connection.sendall(b"GET /h1/bytes/0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert read_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 200")
    assert origin.stats()["connections"] - before <= 3


def test_a_plain_tcp_client_with_nothing_to_say_is_let_go(pair):
    with tcp(pair.port("http")) as connection:
        connection.shutdown(1)
        assert read_all(connection) == b""
