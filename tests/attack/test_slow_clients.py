"""Threat: whoever is slow enough holds connections, streams and memory for nothing: it sends a
head, a body or reads a response byte by byte, so that every idle timer is reset, or says nothing
at all. What a client must keep up is limits.min_rate, over the stall timeouts, and only its own
turns count: neither an origin that is silent nor one that does not read is the client's fault."""

import contextlib
import hashlib
import json
import select
import socket
import time

import pytest
from arena import LOCAL_REPLIES
from harness.clients import curl, read_all
from harness.h2client import H2Client

SLOW = "sallyport_http_slow_clients_total"
CLOSED = "sallyport_connection_closed_total"
DRIP = 0.05  # seconds between two bytes of an attacker
BOUND = 10.0  # seconds after which an attacker must be gone; the timeouts are 1 s
MANY = 100
CANCEL = 8


def configure(config):
    # The stalls' timeouts are short, and what must be kept up is much: an attack takes a second.
    config["listeners"].append(
        {
            "name": "slow",
            "protocol": "http",
            "address": "127.0.0.1:0",
            "timeouts": {"request_head": "1s", "request_body": "1s", "send": "1s", "idle": "1s"},
            "limits": {"min_rate": {"request_body": "10KiB", "response": "10KiB"}},
        }
    )


def dial(arena, receive_buffer: int = 0) -> socket.socket:
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(BOUND)
    connection.connect(("127.0.0.1", arena.gateway.port("slow")))
    return connection


@pytest.fixture
def h2(arena):
    """h2(**options): a client over a connection that ends with the test."""
    with contextlib.ExitStack() as open_ones:
        yield lambda **options: H2Client(open_ones.enter_context(dial(arena)), **options)


def drip(connections, byte: bytes = b"x") -> dict:
    """A byte to each, again and again, until each has been answered; gives the answers."""
    answers, left = {}, set(connections)
    deadline = time.monotonic() + BOUND
    while left:
        assert time.monotonic() < deadline, f"{len(left)} of {len(connections)} go on dripping"
        begun = time.monotonic()
        readable, _, _ = select.select(list(left), [], [], DRIP)
        for connection in readable:
            answers[connection] = read_all(connection)
            left.discard(connection)
        for connection in left:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.send(byte)
        select.select([], [], [], max(0.0, DRIP - (time.monotonic() - begun)))
    return answers


HEAD = b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"


@pytest.mark.parametrize("beginning", [b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ", HEAD], ids=["heads", "bodies"])
def test_heads_and_bodies_that_drip_are_answered_408(arena, beginning):
    bodies = beginning == HEAD
    slow, replied = arena.counter(SLOW), arena.counter(LOCAL_REPLIES, code="408")
    before, files = arena.gateway.rss_kib(), arena.gateway.open_files()
    with contextlib.ExitStack() as open_ones:
        connections = [open_ones.enter_context(dial(arena)) for _ in range(MANY)]
        for connection in connections:
            connection.sendall(beginning)
        answers = drip(connections)
        assert arena.grew_less(before, 16 * 1024)
    assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers.values()), answers
    assert arena.counter(LOCAL_REPLIES, code="408", reason="request_timeout") >= replied + MANY
    assert arena.counter(SLOW, waited_for="request_body") == slow + (MANY if bodies else 0)
    arena.gateway.wait_metric(CLOSED, 1, listener="slow")
    deadline = time.monotonic() + BOUND
    while arena.gateway.open_files() > files + 10:
        assert time.monotonic() < deadline, "connections are left"
        select.select([], [], [], 0.01)


def test_streams_that_drip_or_send_nothing_are_answered_408(arena, h2):
    """On one connection, whose other stream is served all the while."""
    slow = arena.counter(SLOW, waited_for="request_body")
    client = h2()
    dripping = [client.start("POST", "/upload", end=False) for _ in range(20)]
    silent = client.start("POST", "/upload", end=False)
    deadline = time.monotonic() + BOUND
    while any(client.streams[number].status == 0 for number in [*dripping, silent]):
        assert time.monotonic() < deadline
        for number in dripping:
            if client.streams[number].status == 0:
                client.send(number, b"x")
        if select.select([client.socket], [], [], DRIP)[0]:
            client.receive()
        assert not client.closed
        calm = client.get("/bytes/300", authority="calm.test")
        assert (calm.status, len(calm.body)) == (200, 300)
    assert {client.response(number).status for number in [*dripping, silent]} == {408}
    assert arena.counter(SLOW, waited_for="request_body") == slow + 21


@pytest.mark.parametrize("version", [1, 2])
def test_a_client_that_keeps_the_rate_up_is_served_however_long_it_takes(arena, h2, version):
    piece, count = bytes(2048), 60  # 40 KiB a second, for three times the stall timeout
    slow = arena.counter(SLOW)
    path, size = "/upload", len(piece) * count
    if version == 2:
        client = h2()
        number = client.start("POST", path, authority="calm.test", end=False)
    else:
        connection = dial(arena)
        connection.sendall(b"POST %s HTTP/1.1\r\nHost: calm.test\r\nContent-Length: %d\r\n\r\n" % (path.encode(), size))
    for nth in range(count):
        if version == 2:
            client.send(number, piece, end=nth == count - 1)
        else:
            connection.sendall(piece)
        select.select([], [], [], DRIP)
    if version == 2:
        assert client.response(number).status == 200
    else:
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        connection.close()
    assert arena.counter(SLOW) == slow


def test_who_reads_byte_by_byte_is_cut(arena):
    slow, before = arena.counter(SLOW, waited_for="response"), arena.gateway.rss_kib()
    with contextlib.ExitStack() as open_ones:
        readers = [open_ones.enter_context(dial(arena, receive_buffer=4096)) for _ in range(20)]
        for reader in readers:
            reader.sendall(b"GET /bytes/50000000 HTTP/1.1\r\nHost: calm.test\r\n\r\n")
        deadline = time.monotonic() + BOUND
        while arena.counter(SLOW, waited_for="response") < slow + len(readers):
            assert time.monotonic() < deadline, "readers go on"
            for reader in readers:
                if select.select([reader], [], [], 0)[0]:
                    with contextlib.suppress(ConnectionResetError):
                        reader.recv(1)
            select.select([], [], [], DRIP)
        assert arena.grew_less(before, 20 * 512)
        assert all(len(read_all(reader)) < 50_000_000 for reader in readers)


def credit_drips(client, numbers, deadline):
    """One byte of window for each stream, again and again, until all are reset."""
    while left := [number for number in numbers if client.streams[number].reset is None]:
        assert time.monotonic() < deadline, f"{len(left)} streams are held open"
        for number in left:
            client.h2.increment_flow_control_window(1, number)
        client.flush()
        select.select([], [], [], DRIP)
        if select.select([client.socket], [], [], 0)[0]:
            client.receive()
        assert not client.closed


def test_windows_of_one_byte_end_their_streams_and_no_other(arena, h2):
    """CVE-2019-9511: data dribble."""
    slow, before = arena.counter(SLOW, waited_for="response"), arena.gateway.rss_kib()
    client = h2(auto_credit=False, settings={4: 1})
    numbers = [client.start("GET", "/bytes/1000000", authority="calm.test") for _ in range(20)]
    credit_drips(client, numbers, time.monotonic() + BOUND)
    assert {client.streams[number].reset for number in numbers} == {CANCEL}
    assert arena.counter(SLOW, waited_for="response") == slow + 20
    assert arena.grew_less(before, 16 * 1024)


def test_a_connection_window_that_stays_shut_ends_the_connection(arena, h2):
    """The streams' windows are wide open, and PINGs say that somebody is there."""
    slow = arena.counter(SLOW, waited_for="response")
    client = h2(auto_credit=False, settings={4: 1 << 20})
    for _ in range(10):
        client.start("GET", "/bytes/1000000", authority="calm.test")
    deadline = time.monotonic() + BOUND
    while not client.closed:
        assert time.monotonic() < deadline, "the connection is held open"
        if select.select([client.socket], [], [], 0.2)[0]:
            client.receive()
        else:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                client.h2.ping(b"still on")
                client.flush()
    assert arena.counter(SLOW, waited_for="response") == slow + 1


# ---- what must not be cut --------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2])
def test_an_origin_that_is_silent_is_not_the_clients_fault(arena, h2, version):
    """Events 1.5 s apart, where a client may be slow for 1 s."""
    slow = arena.counter(SLOW)
    path = "/sse/3?interval=1500"
    if version == 2:
        client = h2()
        body = client.get(path, authority="calm.test").body
    else:
        with dial(arena) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: calm.test\r\nConnection: close\r\n\r\n".encode())
            body = read_all(connection)
    assert body.count(b"data: event ") == 3
    assert arena.counter(SLOW) == slow


@pytest.mark.parametrize("version", ["1.1", "2-prior-knowledge"])
def test_an_origin_that_does_not_read_is_not_the_clients_fault(arena, version):
    """More than all buffers on the way hold, and an origin that begins to read after 2.5 s."""
    slow = arena.counter(SLOW)
    data = bytes(32 << 20)
    url = f"http://calm.test:{arena.gateway.port('slow')}/upload?pause=2500"
    response = curl(url, http=version, host="calm.test", data=data, timeout=30)
    assert (response.exit_code, response.status) == (0, 200), response
    assert json.loads(response.body)["sha256"] == hashlib.sha256(data).hexdigest()
    assert arena.counter(SLOW) == slow


# ---- nothing at all --------------------------------------------------------------------------


def test_connections_that_say_nothing_go_and_come_back_to_zero(arena):
    files, before = arena.gateway.open_files(), arena.gateway.rss_kib()
    with contextlib.ExitStack() as open_ones:
        silent = [open_ones.enter_context(dial(arena)) for _ in range(3 * MANY)]
        for connection in silent[:MANY]:
            connection.sendall(b"GET /reply HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for connection in silent[MANY : 2 * MANY]:
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        arena.bystander.check()
        assert arena.grew_less(before, 24 * 1024)
        assert all(read_all(connection) is not None for connection in silent)
    deadline = time.monotonic() + BOUND
    while arena.gateway.open_files() > files + 10:
        assert time.monotonic() < deadline, "connections are left"
        select.select([], [], [], 0.01)


def test_pings_do_not_keep_an_idle_connection(arena, h2):
    client = h2()
    deadline = time.monotonic() + BOUND
    while not client.closed and not client.goaways:
        assert time.monotonic() < deadline, "the connection is kept"
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.h2.ping(b"still on")
            client.flush()
        if select.select([client.socket], [], [], 0.2)[0]:
            client.receive()
    assert client.goaways
