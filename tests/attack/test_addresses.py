"""Threat: one client takes what all share. It opens connection after connection, or handshake
after handshake and says nothing, or comes back after each connection that was closed for its
attack. It is held to its own share (limits.connections_per_address, handshakes_per_address,
abuse), refused at the door before any TLS work; every other address is served meanwhile."""

import contextlib
import socket

import pytest
from harness import config as configs
from harness.clients import tls_context
from harness.process import wait_until

CONNECTIONS, HANDSHAKES, OFFENCES = 5, 3, 2
FLOOD = 300
REJECTED = "sallyport_listener_rejected_total"
BALANCER = "127.0.0.5"


def configure(config):
    config["limits"] = {
        "handshakes": 8,
        "exempt_addresses": ["127.0.0.1"],
        "connections_per_address": CONNECTIONS,
        "handshakes_per_address": HANDSHAKES,
        "abuse": {"offences": OFFENCES, "window": "60s", "refused": "1s"},
        "h2": {"pings": {"burst": 5, "per_second": 1}},
    }
    config["timeouts"]["handshake"] = "1s"
    config["listeners"].append(
        {
            "name": "balanced",
            "protocol": "http",
            "address": "127.0.0.1:0",
            "proxy_protocol": {"from": [BALANCER + "/32"]},
        }
    )


def dial(arena, source: str, listener: str = "http") -> socket.socket:
    return socket.create_connection(("127.0.0.1", arena.gateway.port(listener)), 10, (source, 0))


def served(connection: socket.socket, before: bytes = b"") -> bool:
    """Whether it is answered; false: closed without a byte."""
    received = b""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        connection.sendall(before + b"GET /reply HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while not received.endswith(b"\r\n\r\ncalm"):
            more = connection.recv(65536)
            if not more:
                break
            received += more
    assert not received or received.startswith(b"HTTP/1.1 200 "), received
    return bool(received)


def ends(connection: socket.socket) -> bool:
    with contextlib.suppress(ConnectionResetError):
        return connection.recv(1) == b""
    return True


def test_an_address_has_so_many_connections_over_all_listeners(arena):
    with contextlib.ExitStack() as open_ones:
        mine = [open_ones.enter_context(dial(arena, "127.0.0.2")) for _ in range(CONNECTIONS)]
        assert all(served(connection) for connection in mine)
        with arena.moved(REJECTED, listener="https", reason="address_limit"):
            assert ends(open_ones.enter_context(dial(arena, "127.0.0.2", "https")))
        with arena.moved(REJECTED, listener="http", reason="address_limit"):
            assert not served(open_ones.enter_context(dial(arena, "127.0.0.2")))
        assert served(open_ones.enter_context(dial(arena, "127.0.0.3"))), "another address"
        mine[0].close()

        def again():
            with dial(arena, "127.0.0.2") as connection:
                return served(connection)

        wait_until(again, "a place that was given back", process=arena.gateway)


def test_silent_connections_hold_few_handshakes_and_not_for_long(arena):
    """Half-open floods: neither limits.handshakes nor memory is one address's to take."""
    before, files = arena.gateway.rss_kib(), arena.gateway.open_files()
    with contextlib.ExitStack() as open_ones:
        for _ in range(FLOOD):
            open_ones.enter_context(dial(arena, "127.0.0.4", "https"))
        # One more takes its turn behind all of them.
        refused = FLOOD - HANDSHAKES
        arena.gateway.wait_metric(REJECTED, refused, listener="https", reason="address_limit")
        assert arena.gateway.open_files() - files < 20
        assert arena.grew_less(before, 4096)
        arena.bystander.check()  # has handshakes of its own to make
        arena.gateway.wait_metric("sallyport_tls_handshake_failures_total", HANDSHAKES, reason="timeout")
    context = tls_context(arena.certs.ca.pem)

    def again():
        with contextlib.suppress(OSError), dial(arena, "127.0.0.4", "https") as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as tls:
                return tls.version() is not None

    wait_until(again, "a handshake of the same address", process=arena.gateway)


def test_behind_a_balancer_its_clients_count_and_it_does_not(arena):
    def header(client: str) -> bytes:
        return f"PROXY TCP4 {client} 198.51.100.1 4000 80\r\n".encode()

    with contextlib.ExitStack() as open_ones:

        def through(client: str) -> bool:
            return served(open_ones.enter_context(dial(arena, BALANCER, "balanced")), header(client))

        assert all(through(f"203.0.113.{number}") for number in range(2 * CONNECTIONS))
        assert all(through("192.0.2.1") for _ in range(CONNECTIONS))
        with arena.moved(REJECTED, listener="balanced", reason="address_limit"):
            assert not through("192.0.2.1")
        assert through("192.0.2.2")
        # Its own health checks have no client.
        for _ in range(CONNECTIONS + 1):
            check = open_ones.enter_context(dial(arena, BALANCER, "balanced"))
            assert served(check, b"PROXY UNKNOWN\r\n")


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
PING = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + bytes(8)


def flood(arena, source: str):
    with dial(arena, source) as connection, contextlib.suppress(ConnectionResetError, BrokenPipeError):
        connection.sendall(PREFACE + 20 * PING)
        while connection.recv(65536):
            pass


def test_who_comes_back_to_flood_is_refused_for_a_while(arena):
    """The budgets of a connection are worth little to whoever opens the next one."""
    source = "127.0.0.6"
    abuse = arena.counter("sallyport_connection_closed_total", by="abuse")
    for number in range(OFFENCES):
        flood(arena, source)
        arena.gateway.wait_metric("sallyport_connection_closed_total", abuse + number + 1, by="abuse")
    before = arena.counter(REJECTED, reason="abuse")
    with dial(arena, source) as connection:
        assert not served(connection)
    arena.gateway.wait_metric(REJECTED, before + 1, listener="http", reason="abuse")
    with dial(arena, "127.0.0.7") as connection:
        assert served(connection), "another address"

    def again():
        with dial(arena, source) as connection:
            return served(connection)

    wait_until(again, "the end of the penalty", process=arena.gateway)


def test_exempt_addresses_are_not_counted(arena):
    with contextlib.ExitStack() as open_ones:
        many = [open_ones.enter_context(dial(arena, "127.0.0.1")) for _ in range(2 * CONNECTIONS)]
        assert all(served(connection) for connection in many)
    for _ in range(OFFENCES + 1):
        flood(arena, "127.0.0.1")
    with dial(arena, "127.0.0.1") as connection:
        assert served(connection)


def test_a_worker_has_so_many_connections(gateway, certs, tmp_path):
    changed = {"limits": {"connections_per_worker": 3}}
    process = gateway(configs.basic([certs.localhost], ["127.0.0.1:9"], tmp_path, **changed))
    with contextlib.ExitStack() as open_ones:
        sockets = [socket.create_connection(("127.0.0.1", process.port("http")), 10) for _ in range(4)]
        for connection in sockets:
            open_ones.enter_context(connection)
        process.wait_metric(REJECTED, 1, listener="http", reason="limit")
        assert ends(sockets[3])


@pytest.mark.parametrize("listener", ["http", "https"])
def test_ipv6_counts_by_prefix_and_mapped_as_ipv4(gateway, certs, tmp_path, listener):
    """::1 alone is there to be used, so its whole /64 is one address: itself."""
    made = configs.basic([certs.localhost], ["127.0.0.1:9"], tmp_path)
    made["limits"] = {"exempt_addresses": [], "connections_per_address": 2}
    for entry in made["listeners"]:
        entry["address"] = "[::]:0"
    process = gateway(made)
    port = process.port(listener)
    for address in ("::1", "127.0.0.1"):
        with contextlib.ExitStack() as open_ones:
            sockets = [open_ones.enter_context(socket.create_connection((address, port), 10)) for _ in range(3)]
            assert ends(sockets[2])
    assert process.metrics().value(REJECTED, listener=listener, reason="address_limit") == 2
