"""sallyport-demo answers as it says, over HTTP/1.1 and h2: what the other tests stand on."""

import asyncio
import json
import socket
import ssl

import pytest
import websockets
from harness.clients import curl, read_all, s_client, tcp, tls, tls_context
from harness.h2client import H2Client
from harness.metrics import Metrics
from harness.origin import pattern

PROTOCOLS = [("h1", "1.1"), ("h2", "2-prior-knowledge")]


@pytest.fixture(params=PROTOCOLS, ids=["h1", "h2"])
def ask(request, origin):
    kind, version = request.param

    def call(path, **more):
        return curl(f"http://{origin.endpoint(kind)}{path}", http=version, **more)

    return call


def test_echo_tells_what_came(ask):
    seen = json.loads(ask("/echo?a=1", data=b"hello", headers=["X-One: 1", "X-One: 2"]).body)
    assert (seen["method"], seen["target"]) == ("POST", "/echo?a=1")
    assert [value for name, value in seen["headers"] if name.lower() == "x-one"] == ["1", "2"]
    assert seen["body"]["sha256"].startswith("2cf24dba5fb0a30e")


def test_bytes_are_the_pattern(ask):
    count = 3 * 65521 + 77
    assert ask(f"/bytes/{count}").body == pattern(count)


def test_an_upload_is_counted(ask):
    told = json.loads(ask("/upload?pause=50", data=pattern(3_000_000)).body)
    assert told["bytes"] == 3_000_000


def test_trailers_and_interim_heads_come(ask):
    assert dict(ask("/trailers").trailers)["x-checksum"] == "abc123"
    hints = ask("/103")
    assert (hints.status, hints.interim[0][0]) == (200, 103)


def test_early_answers_before_the_body(ask):
    assert ask("/early", data=pattern(5_000_000)).status == 413


def test_broken_endings_are_broken(ask):
    reset = ask("/reset?after=100")
    assert (reset.status, reset.body) == (200, pattern(100))
    assert reset.exit_code in (18, 56, 92)
    assert ask("/reset").exit_code in (52, 56, 92)
    assert ask("/short").exit_code in (16, 18, 92)


def test_events_and_chunks_are_all_there(ask):
    assert ask("/sse/3?interval=1").body.count(b"data: event") == 3
    assert len(ask("/stream/10?interval=1&size=100").body) == 1000


def test_status_and_head(ask):
    assert ask("/status/204").status == 204
    assert ask("/status/503").status == 503
    head = ask("/bytes/12", method="HEAD")
    assert (head.status, head.header("content-length")) == (200, "12")


def test_a_client_that_leaves_is_counted(origin):
    before = origin.stats()["canceled"]
    with tcp(origin.port("h1")) as connection:
        connection.sendall(b"GET /delay/60000 HTTP/1.1\r\nHost: x\r\n\r\n")
        origin.wait_stat("requests", origin.stats()["requests"])
    origin.wait_stat("canceled", before + 1)
    with socket.create_connection(("127.0.0.1", origin.port("h2"))) as connection:
        client = H2Client(connection)
        number = client.start(path="/delay/60000")
        client.cancel(number)
        client.get("/echo")
    origin.wait_stat("canceled", before + 2)


def test_close_takes_no_further_request(origin):
    with tcp(origin.port("h1")) as connection:
        connection.sendall(b"GET /close HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"Connection: close" in read_all(connection)
    with tcp(origin.port("h2")) as connection:
        client = H2Client(connection)
        assert client.get("/close").status == 200
        client.wait(lambda: client.goaways, "GOAWAY")
        assert client.goaways == [(1, 0)]


def test_websocket_echoes(origin):
    async def talk():
        url = f"ws://{origin.endpoint()}/ws"
        async with websockets.connect(url, subprotocols=["chat"], compression=None, max_size=None) as socket_:
            for message in ("text", b"x" * 70_000, "y" * 200):
                await socket_.send(message)
                assert await socket_.recv() == message
            assert socket_.subprotocol == "chat"

    asyncio.run(talk())


def test_over_tls_the_protocol_is_chosen_by_alpn(start_origin, certs):
    leaf = certs.localhost
    made = start_origin(auto="127.0.0.1:0", h2="127.0.0.1:0", cert=leaf.chain, key=leaf.key, client_ca=certs.ca.pem)
    with tls(made.port("auto"), tls_context(certs.ca.pem, client=certs.client)) as connection:
        seen = json.loads(H2Client(connection).get("/echo").body)
    assert (seen["tls"]["sni"], seen["tls"]["alpn"]) == ("localhost", "h2")
    assert "alice" in seen["tls"]["client_subject"]
    one = curl(f"https://localhost:{made.port('auto')}/echo", "--cert", certs.client.chain, "--key",
               certs.client.key, http="1.1", cacert=certs.ca.pem)  # fmt: skip
    assert json.loads(one.body)["version"] == "HTTP/1.1"
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        with tls(made.port("h2"), tls_context(certs.ca.pem)) as connection:
            connection.sendall(b"without a certificate")
            assert connection.recv(1)


def test_certificates_have_the_faults_that_were_asked_for(start_origin, certs):
    below = certs.ca.intermediate()
    cases = [(below.leaf("localhost", key="rsa"), "Verify return code: 0"),
             (certs.ca.leaf("localhost", end=-1), "certificate has expired"),
             (certs.other_ca.leaf("localhost"), "unable to get local issuer"),
             (certs.ca.leaf("elsewhere.test"), "hostname mismatch")]  # fmt: skip
    for leaf, verdict in cases:
        made = start_origin(h1="127.0.0.1:0", cert=leaf.chain, key=leaf.key)
        done = s_client(made.port(), "-CAfile", certs.ca.pem, "-verify_hostname", "localhost")
        assert verdict in done.stdout + done.stderr


def test_metrics_text_is_read_by_name_and_labels():
    metrics = Metrics('# TYPE a counter\na{x="1",y="q\\"\\\\"} 2\na{x="2"} 3e1\nb 1.5\n')
    assert metrics.value("a") == 32
    assert metrics.value("a", x="1", y='q"\\') == 2
    assert metrics.value("b") == 1.5
    assert metrics.samples("c") == []
