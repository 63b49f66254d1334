# labels: bulk
# timeout: 900
"""A gibibyte through every pairing, both ways, byte-exact, and the memory stays flat: bodies are
carried, not collected. The same with a slow reader on either side."""

import hashlib
import json
import subprocess
import threading

import pytest
from harness import config
from harness.clients import read_until, tls, tls_context
from harness.h2client import H2Client
from harness.origin import PERIOD, pattern

SIZE = 1 << 30
GROWTH_KIB = 16 * 1024


@pytest.fixture(scope="module")
def expected():
    digest, block = hashlib.sha256(), pattern(PERIOD * 16)
    for _ in range(SIZE // len(block)):
        digest.update(block)
    digest.update(block[: SIZE % len(block)])
    return digest.hexdigest()


@pytest.fixture
def gw(gateway, origin, certs, tmp_path):
    routes = [{"match": {"path_prefix": f"/{k}/"}, "rewrite": {"prefix": "/"}, "upstream": k} for k in ("h1", "h2")]
    made = config.basic([certs.localhost], [origin.endpoint()], tmp_path, limits={"request_body": "2GiB"})
    made["hosts"] = [config.host("localhost", [certs.localhost], routes)]
    made["upstreams"] = {k: {"protocol": k, "endpoints": [origin.endpoint(k)]} for k in ("h1", "h2")}
    started = gateway(made)
    for path in ("/h1/bytes/3000000", "/h2/bytes/3000000"):  # warm: what is allocated once is not growth
        with tls(started.port(), tls_context(certs.ca.pem)) as connection:
            assert H2Client(connection).get(path).status == 200
    return started


class Peak:
    """The most that the gateway's resident memory grew by while something ran."""

    def __init__(self, gateway):
        self.gateway, self.most, self._done = gateway, 0, threading.Event()

    def __enter__(self):
        self.before = self.gateway.rss_kib()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self):
        while not self._done.wait(0.05):
            self.most = max(self.most, self.gateway.rss_kib() - self.before)

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()


def _curl(gw, certs, version, path, *more):
    return ["curl", "-sS", "-q", "--max-time", "300", f"--http{version}", "--cacert", str(certs.ca.pem), *more,
            gw.url(path)]  # fmt: skip


@pytest.mark.parametrize("upstream", ["h1", "h2"])
@pytest.mark.parametrize("client", ["1.1", "2"])
def test_a_gibibyte_down(gw, certs, expected, client, upstream):
    with Peak(gw) as peak, subprocess.Popen(_curl(gw, certs, client, f"/{upstream}/bytes/{SIZE}"),
                                            stdout=subprocess.PIPE) as curl:  # fmt: skip
        digest, count = hashlib.sha256(), 0
        while block := curl.stdout.read(1 << 20):
            digest.update(block)
            count += len(block)
        assert curl.wait() == 0
    assert (count, digest.hexdigest()) == (SIZE, expected)
    assert peak.most < GROWTH_KIB, f"grew by {peak.most} KiB"


@pytest.mark.parametrize("upstream", ["h1", "h2"])
@pytest.mark.parametrize("client", ["1.1", "2"])
def test_a_gibibyte_up(gw, certs, expected, client, upstream):
    block = pattern(PERIOD * 16)
    with Peak(gw) as peak, subprocess.Popen(_curl(gw, certs, client, f"/{upstream}/upload", "-T", "-", "-X", "POST"),
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE) as curl:  # fmt: skip
        left = SIZE
        while left:
            piece = block[: min(left, len(block))]
            curl.stdin.write(piece)
            left -= len(piece)
        curl.stdin.close()
        answer = json.loads(curl.stdout.read())
        assert curl.wait() == 0
    assert answer == {"bytes": SIZE, "sha256": expected}
    assert peak.most < GROWTH_KIB, f"grew by {peak.most} KiB"


@pytest.mark.parametrize("upstream", ["h1", "h2"])
def test_clients_that_do_not_read_hold_little(gw, certs, upstream):
    """Twenty downloads of which only the head is read: what waits for each is bounded."""
    context = tls_context(certs.ca.pem, alpn=("http/1.1",))
    with Peak(gw) as peak:
        opened = [tls(gw.port(), context) for _ in range(20)]
        for connection in opened:
            connection.sendall(f"GET /{upstream}/bytes/{SIZE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert read_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 200")
        gw.wait_metric("sallyport_http_requests_in_flight", 20)
        for connection in opened:
            connection.close()
    assert peak.most < GROWTH_KIB, f"grew by {peak.most} KiB"


@pytest.mark.parametrize("upstream", ["h1", "h2"])
def test_an_upstream_that_reads_slowly_slows_the_client_and_holds_little(gw, certs, upstream):
    data = pattern(2_000_000)
    with Peak(gw) as peak, tls(gw.port(), tls_context(certs.ca.pem)) as connection:
        client = H2Client(connection)
        numbers = [client.start("POST", f"/{upstream}/upload?pause=2", end=False) for _ in range(8)]
        for number in numbers:
            client.send(number, data, end=True)
        for number in numbers:
            assert json.loads(client.response(number).body)["bytes"] == len(data)
    assert peak.most < GROWTH_KIB, f"grew by {peak.most} KiB"
