# labels: bulk
"""Threat: many clients ask for much and read nothing, each within its own bounds, until the sum of
what the gateway holds for them is more than its memory, and the kernel ends it for all.

`limits.memory` bounds the sum: near it the gateway sheds, in a stated order, what costs least, and
takes everything on again by itself once there is room."""

import h2.settings
import pytest
from harness import config
from harness.clients import read_until, tcp, tls, tls_context
from harness.h2client import H2Client
from harness.process import wait_until

MIB = 1024 * 1024
REFUSED_STREAM = 7
GET = b"GET /bytes/10 HTTP/1.1\r\nHost: localhost\r\n\r\n"
# Between the steps of src/runtime/memory.hpp, in percent of the limit.
LEVELS = {0: 40, 1: 87, 2: 92, 3: 96, 4: 105}


class SlowReaders:
    """HTTP/2 connections of 100 streams that ask for 300 kB each and give no window."""

    def __init__(self, gateway, certs):
        self._gateway, self._context = gateway, tls_context(certs.ca.pem, alpn=("h2",))
        self._sockets = []
        self._waiting = []

    def open(self, connections: int) -> None:
        for _ in range(connections):
            socket = tls(self._gateway.port(), self._context)
            self._sockets.append(socket)
            self._waiting.append(H2Client(socket, settings={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0}))

    def ask(self, connections: int) -> None:
        """On so many of those that are open."""
        for _ in range(connections):
            client = self._waiting.pop()
            for _ in range(100):
                client.start(path="/bytes/300000")

    def leave(self) -> None:
        for socket in self._sockets:
            socket.close()
        self._sockets.clear()


@pytest.fixture
def slow(certs):
    made = []

    def start(gateway):
        made.append(SlowReaders(gateway, certs))
        return made[-1]

    yield start
    for readers in made:
        readers.leave()


@pytest.fixture
def made(certs, origin, tmp_path):
    return config.basic([certs.localhost], [origin.endpoint()], tmp_path, limits={"memory": "0"})


def resident(gateway) -> int:
    return gateway.rss_kib() * 1024


def reach(gateway, made, level: int) -> None:
    """Reloads with a limit under which the memory that is held now means this level."""

    def tried():
        now = gateway.metrics().value("sallyport_memory_bytes", pool="resident")
        limit = int(now * 100 / LEVELS[level])
        assert gateway.reload(config.merged(made, {"limits": {"memory": f"{limit}B"}}))
        # The first looks may give back what the allocator kept, and with it change the level.
        try:
            wait_until(lambda: gateway.metrics().value("sallyport_memory_pressure") == level, "level", 1.5)
        except AssertionError:
            return False
        return True

    wait_until(tried, f"memory pressure {level}", process=gateway)


def ask(connection) -> bytes:
    connection.sendall(GET)
    head = read_until(connection, b"\r\n\r\n")
    length = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")).split()[1])
    body = head.split(b"\r\n\r\n", 1)[1]
    while len(body) < length:
        body += connection.recv(4096)
    return head


def test_each_level_sheds_what_it_says_and_all_comes_back(gateway, made, certs, slow):
    gw = gateway(made)
    readers = slow(gw)
    readers.open(4)
    readers.ask(4)
    wait_until(lambda: resident(gw) > 48 * MIB, "50 MiB held", process=gw)
    one = tcp(gw.port("http"))
    idle = tcp(gw.port("http"))
    streams = H2Client(tls(gw.port(), tls_context(certs.ca.pem, alpn=("h2",))))
    assert ask(one).startswith(b"HTTP/1.1 200") and ask(idle).startswith(b"HTTP/1.1 200")
    assert streams.get("/bytes/10").status == 200

    reach(gw, made, 1)
    assert gw.metrics().value("sallyport_listener_accept_paused_total", listener="http", reason="memory") >= 1
    accepted = gw.metrics().value("sallyport_listener_connections_total")
    late = tcp(gw.port("http"))
    late.sendall(GET)
    assert ask(one).startswith(b"HTTP/1.1 200") and streams.get("/bytes/10").status == 200
    assert gw.metrics().value("sallyport_listener_connections_total") == accepted

    reach(gw, made, 2)
    assert streams.get("/bytes/10").reset == REFUSED_STREAM
    assert gw.metrics().value("sallyport_memory_shed_total", what="stream") == 1
    assert ask(one).startswith(b"HTTP/1.1 200"), "HTTP/1.1 cannot be told to come again without an answer"

    reach(gw, made, 3)
    refused = ask(one)
    assert refused.startswith(b"HTTP/1.1 503") and b"retry-after: 1\r\n" in refused.lower()
    assert streams.get("/bytes/10").status == 503
    assert gw.metrics().value("sallyport_memory_shed_total", what="request") == 2

    assert gw.metrics().value("sallyport_memory_shed_total", what="idle_connection") == 0
    reach(gw, made, 4)
    assert idle.recv(1) == b"" and one.recv(1) == b"", "idle connections are closed"
    gw.wait_metric("sallyport_memory_shed_total", 3, what="idle_connection")

    reach(gw, made, 0)
    late.settimeout(20)
    assert read_until(late, b"\r\n\r\n").startswith(b"HTTP/1.1 200"), "who had to wait is served"
    with tls(gw.port(), tls_context(certs.ca.pem, alpn=("h2",))) as again:
        assert H2Client(again).get("/bytes/10").status == 200


def test_slow_readers_cannot_make_it_hold_more_than_its_limit(gateway, made, certs, slow):
    gw = gateway(made)
    with tls(gw.port(), tls_context(certs.ca.pem, alpn=("h2",))) as kept:
        assert H2Client(kept).get("/bytes/10").status == 200
    limit = resident(gw) + 120 * MIB
    assert gw.reload(config.merged(made, {"limits": {"memory": f"{limit}B"}}))
    readers = slow(gw)
    readers.open(26)  # while anybody is let in
    peak = 0
    for _ in range(26):  # they hold 325 MiB
        if gw.metrics().value("sallyport_memory_pressure") >= 1:
            break
        readers.ask(1)
        peak = max(peak, resident(gw))
    gw.wait_metric("sallyport_memory_pressure", 1)
    for _ in range(50):  # what is on its way still comes
        gw.admin("/metrics")
        peak = max(peak, resident(gw))
    assert peak <= limit * 1.05, (peak, limit)  # between two looks some more comes
    readers.leave()
    wait_until(lambda: gw.metrics().value("sallyport_memory_pressure") == 0, "the pressure to end", process=gw)
    with tls(gw.port(), tls_context(certs.ca.pem, alpn=("h2",))) as again:
        assert H2Client(again).get("/bytes/10").status == 200
    print(f"peak {peak / MIB:.0f} MiB of {limit / MIB:.0f} MiB")
