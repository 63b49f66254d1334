"""Threat: one client, or one key that leaked, asks for all that an origin can give. A limit by
client address or by a header's value answers 429 with Retry-After before an origin hears of it;
who is below it is served meanwhile."""

import copy
import socket
import time

import pytest
from arena import LOCAL_REPLIES
from harness.config import host as hosts
from harness.h2client import H2Client

BURST, KEYED = 5, 3


def configure(config):
    keyed = {"header": "x-api-key", "requests": 1, "per": "1h", "burst": KEYED}
    routes = [{"match": {"path_prefix": "/api/"}, "upstream": "web", "rate_limit": keyed}, {"upstream": "web"}]
    limit = {"requests": 5, "per": "1s", "burst": BURST}
    config["hosts"].append(hosts("limited.test", [], routes, listeners=["http"], rate_limit=limit))


def ask(arena, count: int, source: str, path: str = "/limited", field: str = ""):
    """Requests over one connection, one after another; gives (status, Retry-After) of each."""
    request = f"GET {path} HTTP/1.1\r\nHost: limited.test\r\n{field}\r\n".encode()
    got = []
    with socket.create_connection(("127.0.0.1", arena.gateway.port("http")), 10, (source, 0)) as connection:
        reader = connection.makefile("rb")
        for _ in range(count):
            connection.sendall(request)
            status = int(reader.readline().split()[1])
            fields = {}
            while line := reader.readline().strip():
                name, _, value = line.partition(b":")
                fields[name.lower()] = value.strip()
            reader.read(int(fields.get(b"content-length", 0)))
            got.append((status, fields.get(b"retry-after")))
    return got


def test_an_address_has_a_burst_then_the_rate(arena):
    with arena.moved(LOCAL_REPLIES, 20 - BURST, code="429", reason="rate_limited"):
        begun = time.monotonic()
        got = ask(arena, 20, "127.0.0.2")
    assert time.monotonic() - begun < 0.2, "too slow a machine to tell a burst from the rate"
    assert got == [(200, None)] * BURST + [(429, b"1")] * (20 - BURST)
    assert [seen.target for seen in arena.origin.seen if seen.target == "/limited"] == ["/limited"] * BURST
    assert ask(arena, 1, "127.0.0.3") == [(200, None)], "another address"


def test_it_recovers_as_it_says(arena):
    source = "127.0.0.4"
    assert (429, b"1") in ask(arena, 2 * BURST, source)
    deadline = time.monotonic() + 5
    while ask(arena, 1, source) != [(200, None)]:
        assert time.monotonic() < deadline


def test_all_connections_and_versions_of_an_address_share_it(arena):
    statuses = [ask(arena, 1, "127.0.0.5")[0][0] for _ in range(BURST + 3)]
    assert statuses.count(429) >= 2
    client = H2Client(socket.create_connection(("127.0.0.1", arena.gateway.port("http")), 10, ("127.0.0.5", 0)))
    streams = [client.start("GET", "/limited", authority="limited.test", scheme="http") for _ in range(10)]
    refused = [client.response(number) for number in streams if client.response(number).status == 429]
    assert len(refused) >= 8
    assert all(stream.header("retry-after") == "1" and stream.ended for stream in refused)
    client.socket.close()


def test_by_a_header_whoever_sends_it(arena):
    key = "X-Api-Key: leaked\r\n"
    assert ask(arena, KEYED, "127.0.0.6", "/api/x", key) == [(200, None)] * KEYED
    ((status, after),) = ask(arena, 1, "127.0.0.7", "/api/x", key)
    assert status == 429 and 3000 < int(after) <= 3600
    assert ask(arena, 1, "127.0.0.7", "/api/x", "X-Api-Key: another\r\n") == [(200, None)]
    # Without the header it is the address that counts: leaving it out is no way around.
    assert ask(arena, KEYED + 1, "127.0.0.8", "/api/x")[-1][0] == 429


@pytest.mark.parametrize("changed", [False, True])
def test_a_reload_keeps_the_buckets_of_what_it_leaves_alone(arena, changed):
    field = f"X-Api-Key: reload {changed}\r\n"
    source = f"127.0.1.{1 + changed}"
    assert ask(arena, KEYED + 1, source, "/api/x", field)[-1][0] == 429
    fresh = copy.deepcopy(arena.config)
    fresh["hosts"][-1]["routes"].append({"match": {"path": f"/{changed}"}, "upstream": "web"})
    if changed:
        fresh["hosts"][-1]["routes"][0]["rate_limit"]["burst"] = KEYED + 1
    assert arena.gateway.reload(fresh)
    time_of_rate = 0.25  # for the host's limit of the address
    deadline = time.monotonic() + 20 * time_of_rate
    wanted = 200 if changed else 429
    while (got := ask(arena, 1, f"127.0.1.{3 + changed}", "/api/x", field)[0][0]) != wanted:
        assert time.monotonic() < deadline, got


def test_what_is_refused_is_cheap(arena):
    request = b"GET /limited HTTP/1.1\r\nHost: limited.test\r\n\r\n"
    ask(arena, BURST, "127.0.0.1")
    with arena.cost("requests above a rate limit", 2.0):
        for _ in range(20):
            asked = arena.ask(request * 50, answers=50)
            assert asked.statuses.count(429) >= 40
