"""What a request costs on connections that are kept, counted: how often the worker's thread calls the allocator and
the kernel. Counts are exact where times are not, so nothing may come back unseen that was once taken out.

Requests go one after the other, with metrics, limits and the JSON access log on. The numbers are upper bounds: who
saves a call lowers its bound, and the failure of a test prints the row as it is now. What is not in a row is 0.
"""

# labels: bulk

import statistics

import pytest
from harness import config
from harness.calls import ALLOCATIONS, Calls, Worker
from harness.clients import tls, tls_context
from harness.h2client import H2Client
from harness.scripted import ScriptedOrigin

SIZE = 1024
WARM_UP = 300  # the pools, tables and HPACK states are then what they will be
BATCH = 50
BATCHES = 21
# The worker's tick (epoll_wait) comes ten times a second; where a count is read, the worker may still
# be behind its last answer. A call more per request is 1.
TOLERANCE = 0.25

# recv and send, on either side: one that brings or takes the message; none that finds nothing more.
# epoll_wait: one for the client's request, one for the upstream's answer; requests that come together share them.
PER_REQUEST = {
    ("h1", "h1"): {"allocations": 9, "free": 9, "recv": 2, "send": 2, "epoll_wait": 2},
    ("h1", "h2"): {"allocations": 15, "free": 15, "recv": 2, "send": 2, "epoll_wait": 2},
    ("h2", "h1"): {"allocations": 19, "free": 19, "recv": 2, "send": 2, "epoll_wait": 2},
    ("h2", "h2"): {"allocations": 25, "free": 25, "recv": 2, "send": 2, "epoll_wait": 2},
}

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % SIZE
REQUEST = b"GET /bytes/%d HTTP/1.1\r\nHost: localhost\r\nUser-Agent: steady\r\nAccept: */*\r\n\r\n" % SIZE


@pytest.fixture
def endpoint(origin):
    """Of an origin for h1 or h2, whose answer comes in one piece."""
    whole = ScriptedOrigin(lambda *_: (HEAD + bytes(SIZE), True))
    yield lambda back: whole.endpoint if back == "h1" else origin.endpoint("h2")
    whole.close()


def http1(connection):
    def ask() -> None:
        connection.sendall(REQUEST)
        answer = b""
        while len(answer.partition(b"\r\n\r\n")[2]) < SIZE:
            more = connection.recv(65536)
            assert more, answer
            answer += more
        assert answer.startswith(b"HTTP/1.1 200 "), answer

    return ask


def http2(connection):
    # Windows that are never short: the client says nothing but requests.
    client = H2Client(connection, auto_credit=False)
    client.h2.increment_flow_control_window(1 << 30)
    client.flush()

    def ask() -> None:
        answer = client.get(f"/bytes/{SIZE}", headers=[("user-agent", "steady"), ("accept", "*/*")])
        assert (answer.status, len(answer.body)) == (200, SIZE)

    return ask


def per_request(counts) -> dict[str, float]:
    """By name; the ways to allocate are one."""
    each = {name: count / BATCH for name, count in counts.items() if name not in ALLOCATIONS}
    return {"allocations": sum(counts[name] for name in ALLOCATIONS) / BATCH, **each}


def steady(worker: Worker, ask) -> dict[str, float]:
    """Calls per request in the middle one of many batches: a tick or a burst is in some of them only."""
    batches = []
    for _ in range(BATCHES):
        before = worker.counts()
        for _ in range(BATCH):
            ask()
        batches.append(per_request(worker.counts() - before))
    names = sorted({name for batch in batches for name in batch})
    return {name: statistics.median(batch.get(name, 0) for batch in batches) for name in names}


def excess(found: dict[str, float], bounds: dict[str, int]) -> list[str]:
    return [f"{name} {count:.2f}, not {bounds.get(name, 0)}" for name, count in found.items()
            if count > bounds.get(name, 0) + TOLERANCE]  # fmt: skip


@pytest.mark.parametrize(("front", "back"), PER_REQUEST, ids="-".join)
def test_no_request_takes_more_calls_than_these(front, back, binary, gateway, endpoint, certs, tmp_path):
    calls = Calls(binary, tmp_path)
    upstream = {"web": {"protocol": back}}
    conf = config.basic([certs.localhost], [endpoint(back)], tmp_path, upstreams=upstream,
                        limits={"requests_per_connection": 0, "connection_age": 0})  # fmt: skip
    running = gateway(conf, env=calls.environment)
    context = tls_context(certs.ca.pem, alpn=("http/1.1",) if front == "h1" else ("h2",))
    with tls(running.port(), context) as connection:
        ask = (http1 if front == "h1" else http2)(connection)
        worker = Worker(calls, ask)
        for _ in range(WARM_UP):
            ask()
        found = steady(worker, ask)
    row = f'("{front}", "{back}"): ' + str({name: round(count, 1) for name, count in found.items() if count > TOLERANCE})
    print(row)
    over = excess(found, PER_REQUEST[front, back])
    assert not over, f"more calls per request than there were: {'; '.join(over)}; the row would be\n{row}"


def test_one_call_more_would_be_seen():
    bounds = {"send": 2}
    assert not excess({"send": 2.02, "timerfd_settime": 0.04}, bounds)
    assert excess({"send": 3.0}, bounds) and excess({"send": 2.0, "setsockopt": 1.0}, bounds)
