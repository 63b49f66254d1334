"""An upload that its upstream does not take: the client is not read from meanwhile, and Cloudflare
gives up on that after 30 s. `upstreams.*.timeouts.send` answers before, in all four pairings; whoever
takes the body slowly but steadily keeps it, and a client that leaves meanwhile is noticed."""

import contextlib
import select
import signal
import socket
import struct
import threading
import time

import h2.config
import h2.connection
import h2.events
import pytest
from harness import config
from harness.clients import curl, read_all, tcp
from harness.process import wait_until

SEND = 0.7  # seconds, of the upstreams of these tests
STEP = 0.05  # seconds between the pieces that a slow origin takes: its pace, which nothing waits for
LARGE = b"x" * 16_000_000  # more than the kernels of both sides hold
ANSWERED = b"taken: %d"


class Origin:
    """Reads the head of a request and does with the body as the path says:
    /never takes nothing more; /head answers, takes nothing and does not end the answer; /flood likewise, with
    more of an answer than anybody holds; /steady takes it in small pieces, and answers.
    `given_up` is set once the gateway has given the connection or the stream up."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        self._open = []
        self.given_up = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self):
        return "127.0.0.1:%d" % self._listener.getsockname()[1]

    def close(self):
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        with contextlib.suppress(OSError, ValueError):
            self._serve(connection)


class Http1(Origin):
    def _serve(self, connection):
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return
            data += more
        head, body = data.split(b"\r\n\r\n", 1)
        path = head.split(b" ")[1]
        if path == b"/steady":
            count, whole = len(body), len(LARGE) // 3
            while count < whole:
                time.sleep(STEP)
                count += len(connection.recv(128 * 1024, socket.MSG_WAITALL) if whole - count > 131072
                             else connection.recv(65536))  # fmt: skip
            answer = ANSWERED % count
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
            connection.close()
            return
        if path in (b"/head", b"/flood"):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\npiece")
        if path == b"/flood":
            threading.Thread(target=self._flood, args=(connection,), daemon=True).start()
        wait = select.poll()
        wait.register(connection, select.POLLHUP | select.POLLERR)
        if wait.poll(60_000):
            self.given_up.set()

    @staticmethod
    def _flood(connection):
        with contextlib.suppress(OSError):
            connection.sendall(b"y" * 50_000_000)


class Http2(Origin):
    """Its window, 65,535 bytes, is all that it takes, unless it gives some back."""

    def _serve(self, connection):
        peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        peer.initiate_connection()
        paths, counts = {}, {}
        while True:
            connection.sendall(peer.data_to_send())
            data = connection.recv(65536)
            if not data:
                self.given_up.set()
                return
            for event in peer.receive_data(data):
                stream = getattr(event, "stream_id", None)
                if isinstance(event, h2.events.RequestReceived):
                    paths[stream], counts[stream] = dict(event.headers)[b":path"], 0
                    if paths[stream] == b"/head":
                        peer.send_headers(stream, [(":status", "200")])
                        peer.send_data(stream, b"piece")
                elif isinstance(event, h2.events.DataReceived):
                    counts[stream] += len(event.data)
                    if paths[stream] != b"/steady":
                        continue
                    time.sleep(STEP)
                    peer.acknowledge_received_data(event.flow_controlled_length, stream)
                    connection.sendall(peer.data_to_send())
                elif isinstance(event, h2.events.StreamEnded) and counts.get(stream):
                    peer.send_headers(stream, [(":status", "200")])
                    peer.send_data(stream, ANSWERED % counts[stream], end_stream=True)
                elif isinstance(event, h2.events.StreamReset):
                    if counts[stream]:
                        peer.increment_flow_control_window(counts[stream])  # the connection's
                    self.given_up.set()


@pytest.fixture(scope="module")
def origins():
    made = {"h1": Http1(), "h2": Http2()}
    yield made
    for one in made.values():
        one.close()


def configured(origins, certs, folder, **changes):
    made = config.basic([certs.localhost], [], folder)
    upstreams = {
        "h1": {"protocol": "h1", "timeouts": {"send": f"{SEND * 1000:.0f}ms"}},
        "h2": {"protocol": "h2", "timeouts": {"send": f"{SEND * 1000:.0f}ms"}},
        "patient": {"protocol": "h2", "timeouts": {"send": "60s"}},
    }
    for name, upstream in upstreams.items():
        upstream["endpoints"] = [origins.get(name, origins["h2"]).endpoint]
    made["upstreams"] = upstreams
    off = [{"match": {"path_prefix": f"/off-{name}/"}, "rewrite": {"prefix": "/"}, "upstream": name,
            "timeouts": {"send": "0", "first_byte": "1500ms"}} for name in ("h1", "h2")]  # fmt: skip
    made["hosts"] = [config.host("localhost", [certs.localhost], off + [
        {"match": {"path_prefix": f"/{name}/"}, "rewrite": {"prefix": "/"}, "upstream": name} for name in upstreams
    ])]  # fmt: skip
    made["address_sets"] = {"cloudflare": {"ranges": ["127.77.0.0/16"]}}
    return config.merged(made, changes)


@pytest.fixture(scope="module")
def gw(shared_gateway, origins, certs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stall")
    # A client that takes no response is borne with for longer than an upstream that takes no request.
    made = shared_gateway(configured(origins, certs, folder, timeouts={"send": "2s"}))
    made.folder = folder  # where the access log is
    return made


@pytest.fixture(params=[(c, u) for c in ("1.1", "2") for u in ("h1", "h2")], ids=lambda p: f"client{p[0]}-upstream-{p[1]}")
def pair(request, gw, certs, origins):
    """pair(path, body, *curl's) through one of the four pairings."""
    client, upstream = request.param
    origins[upstream].given_up.clear()
    before = len(gw.access_log())

    def upload(path, data=LARGE, prefix=None):
        begun = time.monotonic()
        response = curl(gw.url(f"/{prefix or upstream}{path}"), "--interface", "127.77.0.9", http=client,
                        cacert=certs.ca.pem, method="POST", data=data, headers=["Expect:"])  # fmt: skip
        response.took = time.monotonic() - begun
        wait_until(lambda: len(gw.access_log()) > before, "the access log's line", process=gw)
        response.line = gw.access_log()[-1]
        return response

    upload.upstream, upload.client = upstream, client
    return upload


def started(gw, origins, path, count, extra=b""):
    """A client of HTTP/1.1 that has sent so many bytes of its upload, and does not read."""
    origins["h2"].given_up.clear()
    client = tcp(gw.port("http"))
    client.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n%s\r\n" % (path, extra))
    client.sendall(b"x" * count)
    gw.wait_metric("sallyport_http_requests_in_flight", 1)
    return client


# What an upstream's window of HTTP/2 and our own for an upload take, so that we read no further. Hardly more:
# a FIN behind what finds no room in our kernel would stay in the client's.
STALLED = 65_535 + 65_536 + 1_000


# ---- answered first ----


def test_an_upload_that_is_not_taken_is_answered_with_the_reason(pair, gw, origins):
    failures = gw.metrics().value("sallyport_upstream_failures_total", cause="body_timeout")
    risks = gw.metrics().value("sallyport_cf_risk_total", code="524", cause="upstream_slow")
    response = pair("/never")
    assert response.status == 504, response.error
    assert SEND <= response.took < SEND + 5
    assert b"504 Gateway Timeout\nupstream_timeout: body_timeout\n" in response.body
    proxy_status = response.header("proxy-status")
    assert proxy_status == 'sallyport; error=http_response_timeout; details="upstream_timeout: body_timeout"'
    expected = {"status": 504, "reason": "upstream_timeout", "error": "body_timeout", "fault": "upstream",
                "upstream": pair.upstream, "cf_risk": "524"}  # fmt: skip
    assert {key: response.line.get(key) for key in expected} == expected
    assert gw.metrics().value("sallyport_upstream_failures_total", cause="body_timeout") == failures + 1
    assert gw.metrics().value("sallyport_cf_risk_total", code="524", cause="upstream_slow") == risks + 1
    assert gw.metrics().value("sallyport_http_local_replies_total", code="504", reason="upstream_timeout") >= 1
    assert origins[pair.upstream].given_up.wait(20)


def test_behind_a_response_s_head_it_is_cut(pair, gw, origins):
    before = gw.metrics().value("sallyport_http_cut_off_total", reason="upstream_timeout")
    response = pair("/head")
    assert response.status == 200 and response.body == b"piece"
    assert response.exit_code != 0 and response.took < SEND + 5
    expected = {"status": 200, "reason": "upstream_timeout", "error": "body_timeout", "fault": "upstream"}
    assert {key: response.line.get(key) for key in expected} == expected
    assert gw.metrics().value("sallyport_http_cut_off_total", reason="upstream_timeout") == before + 1
    assert origins[pair.upstream].given_up.wait(20)


def test_slowly_but_steadily_is_no_stall(pair):
    size = {"h1": len(LARGE) // 3, "h2": 600_000}[pair.upstream]
    response = pair("/steady", b"x" * size)
    assert (response.exit_code, response.status, response.body) == (0, 200, ANSWERED % size), response.error
    assert response.took > 2 * SEND


def test_0_leaves_it_to_the_first_byte_s_deadline(pair):
    response = pair("/never", prefix=f"off-{pair.upstream}")
    assert (response.status, response.line["error"]) == (504, "head_timeout")
    assert response.took >= 1.5


def test_an_upstream_is_not_blamed_while_the_client_takes_no_response(gw, origins):
    """It reads no more because it cannot get rid of what it writes."""
    before = len(gw.access_log())
    with tcp(gw.port("http")) as client:
        client.settimeout(30)
        client.sendall(b"POST /h1/flood HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(LARGE))
        with contextlib.suppress(OSError):
            client.sendall(LARGE)
        wait_until(lambda: len(gw.access_log()) > before, "the access log's line", process=gw)
    line = gw.access_log()[-1]
    assert (line["error"], line["fault"]) == ("body_timeout", "client")


# ---- a client that leaves while it is not read from ----


@pytest.mark.parametrize("how", ["RST", "FIN"])
def test_a_client_that_leaves_is_noticed_though_nothing_is_read(gw, origins, how):
    before = len(gw.access_log())
    with started(gw, origins, b"/patient/never", STALLED) as client:
        if how == "RST":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    begun = time.monotonic()
    wait_until(lambda: len(gw.access_log()) > before, "the access log's line", process=gw)
    line = gw.access_log()[-1]
    assert line["reason"] == "client_gone" and line["fault"] == "client"
    assert line["error"] == {"RST": "reset", "FIN": "closed"}[how]
    assert time.monotonic() - begun < 10
    assert origins["h2"].given_up.wait(20)


def test_a_drain_does_not_wait_for_a_client_that_has_left(gateway, origins, certs, tmp_path):
    own = gateway(configured(origins, certs, tmp_path, timeouts={"drain": "60s"}))
    with started(own, origins, b"/patient/never", STALLED):
        own.signal(signal.SIGTERM)
        own.wait_log("draining")
    assert own.wait_exit(timeout=20) == 0
    assert "drain_deadline" not in own.log()


def test_a_drain_ends_a_stalled_upload_at_its_deadline(gateway, origins, certs, tmp_path):
    own = gateway(configured(origins, certs, tmp_path, timeouts={"drain": "1500ms"}))
    with started(own, origins, b"/patient/never", STALLED) as client:
        own.signal(signal.SIGTERM)
        assert own.wait_exit(timeout=20) == 0
        assert b"200" not in read_all(client)
    assert "drain_deadline" in own.log()
