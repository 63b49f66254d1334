# labels: multiworker
"""Where clients come in: both address families, several workers on one port, the caps on
connections, the plain-HTTP listener's redirect, PROXY protocol, and a port that is taken."""

import collections
import json
import os
import signal
import socket
import struct
import subprocess

import pytest
from harness import config
from harness.clients import curl, read_all, read_until, tcp, tls, tls_context
from harness.process import wait_until

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
ASK = b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n"


def listener(**changes) -> dict:
    """A plain listener: what is told here has nothing to do with TLS."""
    return {"name": "http", "protocol": "http", "address": "127.0.0.1:0", **changes}


def ask(connection) -> bytes:
    """One request over a connection that stays open; the head of the response."""
    connection.sendall(b"GET /bytes/0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return read_until(connection, b"\r\n\r\n")


def echo(connection, before: bytes = b"", request: bytes = ASK) -> dict:
    """What the origin saw of a request; Forwarded fields under their names."""
    connection.sendall(before + request)
    received = read_until(connection, b"\r\n\r\n")
    head, body = received.split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 200"), received
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(65536)
    return dict(json.loads(body)["headers"])


# ---- families and workers ------------------------------------------------------------------


def test_a_dual_stack_listener_takes_both_families_and_calls_ipv4_clients_ipv4(gateway, origin, certs, tmp_path):
    """A rule for 10.0.0.0/8 that missed ::ffff:10.0.0.1 would be no rule."""
    made = config.basic([certs.localhost], [origin.endpoint()], tmp_path)
    made["listeners"] = [{"name": "https", "address": "[::]:0"}, listener(address="[::]:0")]
    gw = gateway(made)
    for name, url_host, client in (("v4", "127.0.0.1", "127.0.0.1"), ("v6", "[::1]", "::1")):
        target = f"https://localhost:{gw.port()}/echo?{name}"
        response = curl(target, "--connect-to", f"::{url_host}:", cacert=certs.ca.pem)
        assert response.status == 200, response.error
        assert dict(json.loads(response.body)["headers"])["x-forwarded-for"] == client
        assert gw.wait_access(1, target=f"/echo?{name}")[0]["client"] == client
        with tcp(gw.port("http"), client) as connection:
            assert echo(connection)["x-forwarded-for"] == client


def test_an_ipv4_listener_takes_ipv4_alone(gateway, origin, certs, tmp_path):
    gw = gateway(config.basic([certs.localhost], [origin.endpoint()], tmp_path))
    with pytest.raises(ConnectionRefusedError):
        tcp(gw.port("http"), "::1")


def test_every_worker_has_a_socket_of_its_own_on_the_one_port_and_serves_it(gateway, origin, certs, tmp_path):
    gw = gateway(config.basic([certs.localhost], [origin.endpoint()], tmp_path, workers=2))
    for name in ("https", "http"):
        suffix = f":{gw.port(name):04X}"
        with open("/proc/net/tcp", encoding="ascii") as table:
            rows = [row.split() for row in table]
        assert sum(row[1].endswith(suffix) and row[3] == "0A" for row in rows) == 2
    # The kernel spreads connections by their ports: of 60, one worker alone gets all by a chance of 2^-59.
    connections = [tcp(gw.port("http")) for _ in range(60)]
    try:
        for connection in connections:
            connection.sendall(ASK)
        for connection in connections:
            assert read_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 200")
        gw.wait_metric("sallyport_listener_connections_total", 60, listener="http")
    finally:
        for connection in connections:
            connection.close()


# ---- caps ----------------------------------------------------------------------------------


def refused(connection) -> bool:
    """Closed without an answer; nothing is sent, so the close is clean."""
    return read_all(connection) == b""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_listeners_cap_closes_the_next_and_leaves_the_others_alone(gateway, origin, certs, tmp_path, workers):
    made = config.basic([certs.localhost], [origin.endpoint()], tmp_path, workers=workers)
    made["listeners"] = [listener(max_connections=3), listener(name="http-free")]
    gw = gateway(made)
    held = [tcp(gw.port("http")) for _ in range(3)]
    try:
        assert all(ask(connection).startswith(b"HTTP/1.1 200") for connection in held)
        for count in (1, 2):
            with tcp(gw.port("http")) as over:
                assert refused(over)
            gw.wait_metric("sallyport_listener_rejected_total", count, listener="http", reason="limit")
        with tcp(gw.port("http-free")) as other:
            assert ask(other).startswith(b"HTTP/1.1 200")
        assert all(ask(connection).startswith(b"HTTP/1.1 200") for connection in held)
        held.pop().close()
        wait_until(lambda: gw.metrics().value("sallyport_listener_connections", listener="http") == 2,
                   "place for one", process=gw)  # fmt: skip
        held.append(tcp(gw.port("http")))
        assert ask(held[-1]).startswith(b"HTTP/1.1 200")
        assert gw.metrics().value("sallyport_listener_rejected_total", listener="http") == 2
    finally:
        for connection in held:
            connection.close()


def test_the_cap_of_the_process_counts_all_listeners(gateway, origin, certs, tmp_path):
    made = config.basic([certs.localhost], [origin.endpoint()], tmp_path, limits={"connections": 2})
    gw = gateway(made)
    context = tls_context(certs.ca.pem, alpn=("http/1.1",))
    with tcp(gw.port("http")) as plain:
        assert ask(plain).startswith(b"HTTP/1.1 200")
        with tls(gw.port(), context) as secure:
            assert ask(secure).startswith(b"HTTP/1.1 200")
            for name in ("http", "https"):
                with tcp(gw.port(name)) as over:
                    assert refused(over)
                gw.wait_metric("sallyport_listener_rejected_total", 1, listener=name, reason="limit")
            assert ask(plain).startswith(b"HTTP/1.1 200")
        wait_until(lambda: gw.metrics().value("sallyport_listener_connections") == 1, "place for one", process=gw)
        with tls(gw.port(), context) as secure:
            assert ask(secure).startswith(b"HTTP/1.1 200")


def test_a_connection_that_never_finishes_its_handshake_counts_against_the_cap(gateway, origin, certs, tmp_path):
    """Else a cap would bound the polite alone."""
    made = config.basic([certs.localhost], [origin.endpoint()], tmp_path)
    made["listeners"] = [{"name": "https", "address": "127.0.0.1:0", "max_connections": 1}]
    gw = gateway(made)
    with tcp(gw.port()) as silent:
        gw.wait_metric("sallyport_listener_connections", 1, listener="https")
        with tcp(gw.port()) as over:
            assert refused(over)
        silent.close()
    wait_until(lambda: gw.metrics().value("sallyport_listener_connections") == 0, "place", process=gw)
    assert curl(gw.url("/bytes/0"), cacert=certs.ca.pem).status == 200


# ---- redirect ------------------------------------------------------------------------------


@pytest.mark.parametrize("http", ["1.0", "1.1", "2-prior-knowledge"])
def test_plain_http_is_sent_to_the_same_url_over_https(gateway, origin, certs, tmp_path, http):
    made = config.basic([certs.localhost], [origin.endpoint()], tmp_path)
    made["listeners"] = [
        listener(name="http-443", redirect="https"),
        listener(name="http-port", redirect="https", redirect_port=8443, redirect_code=302),
    ]
    gw = gateway(made)
    for method in ("GET", "POST"):
        response = curl(gw.url("/a%20b/c?d=e&f", listener="http-443"), http=http, method=method)
        assert (response.exit_code, response.status) == (0, 308), response.error
        assert response.header("location") == "https://localhost/a%20b/c?d=e&f"
    response = curl(gw.url("/x", listener="http-port"), http=http)
    assert (response.status, response.header("location")) == (302, "https://localhost:8443/x")


def test_the_redirect_ends_where_the_tls_listener_is(gateway, origin, certs, tmp_path):
    """A client that follows it arrives, method and body with it."""
    gw = gateway(config.basic([certs.localhost], [origin.endpoint()], tmp_path))
    made = config.basic([certs.localhost], [origin.endpoint()], tmp_path)
    made["listeners"] = [listener(redirect="https", redirect_port=gw.port())]
    front = gateway(made)
    response = curl(front.url("/echo?q", listener="http"), "--location", cacert=certs.ca.pem, data=b"hello")
    assert response.status == 200, response.error
    seen = json.loads(response.body)
    assert (seen["method"], seen["target"], seen["body"]["bytes"]) == ("POST", "/echo?q", 5)


def test_routes_of_the_listener_stand_before_its_redirect(gateway, origin, certs, tmp_path):
    made = config.basic([certs.localhost], [origin.endpoint()], tmp_path)
    routes = [
        {"match": {"path_prefix": "/.well-known/acme-challenge/"}, "reply": {"status": 200, "body": "token"}},
        {"match": {"path": "/bytes/7"}, "upstream": "web"},
    ]
    made["listeners"] = [listener(redirect="https", routes=routes)]
    gw = gateway(made)
    # For every name, also one that no host has: a challenge comes before the host is configured.
    token = curl(gw.url("/.well-known/acme-challenge/x", listener="http", host="new.test"), host="new.test")
    assert (token.status, token.body) == (200, b"token")
    assert curl(gw.url("/bytes/7", listener="http")).status == 200
    assert curl(gw.url("/bytes/8", listener="http")).status == 308


# ---- PROXY protocol ------------------------------------------------------------------------


def v2(source: str, destination: str, ports=(4000, 443), command: int = 1, more: bytes = b"") -> bytes:
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    body = b"".join(socket.inet_pton(family, a) for a in (source, destination)) + struct.pack("!HH", *ports) + more
    kind = 0x21 if family == socket.AF_INET6 else 0x11
    return SIGNATURE + bytes([0x20 | command, kind]) + struct.pack("!H", len(body)) + body


V1 = b"PROXY TCP4 203.0.113.7 198.51.100.1 4000 443\r\n"
HEADERS = {
    "v1-ipv4": (V1, "203.0.113.7"),
    "v1-ipv6": (b"PROXY TCP6 2001:db8::7 2001:db8::1 4000 443\r\n", "2001:db8::7"),
    "v1-mapped": (b"PROXY TCP6 ::ffff:203.0.113.7 ::1 4000 443\r\n", "203.0.113.7"),
    "v1-unknown": (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    "v2-ipv4": (v2("203.0.113.7", "198.51.100.1"), "203.0.113.7"),
    "v2-ipv6": (v2("2001:db8::7", "2001:db8::1"), "2001:db8::7"),
    "v2-tlvs": (v2("203.0.113.7", "198.51.100.1", more=b"\x04\0\x03abc"), "203.0.113.7"),
    "v2-local": (SIGNATURE + b"\x20\0\0\0", "127.0.0.1"),  # a health check of the balancer's own
}


@pytest.fixture
def behind(gateway, origin, certs, tmp_path):
    """behind(*cidrs): both listeners, dual-stack, expect the header from these senders."""

    def start(*cidrs, **more):
        made = config.basic([certs.localhost], [origin.endpoint()], tmp_path, **more)
        proxy = {"proxy_protocol": {"from": list(cidrs)}, "address": "[::]:0"}
        made["listeners"] = [listener(**proxy), {"name": "https", **proxy}]
        return gateway(made)

    return start


def test_a_listed_sender_tells_the_clients_address_over_tls_and_in_clear(behind, certs):
    gw = behind("127.0.0.1/32")
    context = tls_context(certs.ca.pem, alpn=("http/1.1",))
    seen = collections.Counter()
    for header, client in HEADERS.values():
        with tcp(gw.port("http")) as connection:
            assert echo(connection, header)["x-forwarded-for"] == client
        with tcp(gw.port()) as raw:
            raw.sendall(header)
            with context.wrap_socket(raw, server_hostname="localhost") as connection:
                assert echo(connection)["x-forwarded-for"] == client
        seen[client] += 2
    lines = gw.wait_access(2 * len(HEADERS))
    assert collections.Counter(line["client"] for line in lines) == seen
    for source, count in {"peer": seen["127.0.0.1"], "proxy_proto": len(lines) - seen["127.0.0.1"]}.items():
        assert gw.metrics().value("sallyport_client_ip_source_total", source=source, verdict="used") == count


@pytest.mark.parametrize("name", ["v1-ipv4", "v2-ipv6"])
def test_the_header_may_come_in_any_pieces(behind, certs, name):
    gw = behind("127.0.0.0/8")
    header, client = HEADERS[name]
    for cut in range(1, len(header)):
        with tcp(gw.port("http")) as connection:
            connection.sendall(header[:cut])
            assert echo(connection, header[cut:])["x-forwarded-for"] == client
    with tcp(gw.port("http")) as connection:
        for byte in header + ASK[:-1]:
            connection.sendall(bytes([byte]))
        assert echo(connection, request=ASK[-1:])["x-forwarded-for"] == client


@pytest.mark.parametrize("address", ["127.0.0.2", "::1"])
def test_from_others_the_header_is_not_read(behind, certs, address):
    """Whoever could send one from anywhere could be anybody."""
    gw = behind("127.0.0.1/32")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET

    def connect(name):
        connection = socket.socket(family)
        connection.settimeout(20)
        connection.bind((address, 0))
        connection.connect(("::1" if ":" in address else "127.0.0.1", gw.port(name)))
        return connection

    with connect("http") as connection:
        assert echo(connection)["x-forwarded-for"] == address
    for header, _ in (HEADERS["v1-ipv4"], HEADERS["v2-ipv4"]):
        with connect("http") as connection:
            connection.sendall(header + ASK)
            assert read_all(connection).startswith(b"HTTP/1.1 400")
        with connect("https") as connection:
            connection.sendall(header)
            assert read_all(connection)[:1] == b"\x15"  # an alert: this is no ClientHello


@pytest.mark.parametrize("bad", [ASK, b"PROXY TCP4 1.2.3.4 junk 1 2\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n" + ASK,
                                 b"PROXY " + b"x" * 200, SIGNATURE + b"\x31\x11\0\x0c" + bytes(12),
                                 SIGNATURE + b"\x21\x11\0\x02ab"],
                         ids=["none", "v1-address", "v1-lf", "v1-long", "v2-version", "v2-short"])  # fmt: skip
def test_a_listed_sender_without_a_proper_header_is_cut_off_and_counted(behind, bad):
    """A header that is left out or read in two ways is how a client forges its address."""
    gw = behind("127.0.0.1/32")
    with tcp(gw.port("http")) as connection:
        connection.sendall(bad)
        assert read_all(connection) == b""
    gw.wait_metric("sallyport_listener_rejected_total", 1, listener="http", reason="proxy_proto")
    gw.wait_log("proxy_protocol_rejected")
    with tcp(gw.port("http")) as connection:
        assert echo(connection, V1)["x-forwarded-for"] == "203.0.113.7"


def test_a_header_that_never_ends_is_not_waited_for(behind):
    gw = behind("127.0.0.1/32", timeouts={"request_head": "200ms"})
    with tcp(gw.port("http")) as connection:
        connection.sendall(b"PROXY TCP4 1.2")
        assert read_all(connection) == b""


def test_curl_speaks_version_1_with_it(behind, certs):
    gw = behind("127.0.0.0/8", "::1")
    for address in ("127.0.0.1", "[::1]"):
        response = curl(gw.url("/echo"), "--haproxy-protocol", "--connect-to", f"::{address}:", cacert=certs.ca.pem)
        assert response.status == 200, response.error
        assert dict(json.loads(response.body)["headers"])["x-forwarded-for"] == address.strip("[]")


@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2"])
def test_haproxy_in_front_passes_the_client_on(behind, certs, tmp_path, option):
    gw = behind("127.0.0.1/32")
    with socket.create_server(("127.0.0.1", 0)) as front:
        file = tmp_path / "haproxy.cfg"
        file.write_text(
            "defaults\n mode tcp\n timeout connect 10s\n timeout client 10s\n timeout server 10s\n"
            f"listen front\n bind fd@{front.fileno()}\n server gateway 127.0.0.1:{gw.port()} {option}\n"
        )
        haproxy = subprocess.Popen(["/usr/sbin/haproxy", "-db", "-q", "-f", file], pass_fds=[front.fileno()])
        try:
            with socket.create_connection(front.getsockname(), 20, ("127.0.0.9", 0)) as raw:
                context = tls_context(certs.ca.pem, alpn=("http/1.1",))
                with context.wrap_socket(raw, server_hostname="localhost") as connection:
                    assert echo(connection)["x-forwarded-for"] == "127.0.0.9"
        finally:
            os.kill(haproxy.pid, signal.SIGTERM)
            haproxy.wait(20)


# ---- a port that is taken ------------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1", "[::]"])
def test_a_port_in_use_is_told_and_the_start_fails(gateway, origin, certs, tmp_path, address):
    made = config.basic([certs.localhost], [origin.endpoint()], tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        made["listeners"][1]["address"] = f"{address}:{port}"
        log = gateway(made, ready=False).expect_exit(1)
    assert f"{address}:{port}" in log
    assert "in use" in log


def test_two_gateways_never_share_a_port_in_silence(gateway, origin, certs, tmp_path):
    """SO_REUSEPORT would let them: each would get half of the connections."""
    made = config.basic([certs.localhost], [origin.endpoint()], tmp_path)
    first = gateway(made)
    made["listeners"][0]["address"] = f"127.0.0.1:{first.port()}"
    assert "in use" in gateway(made, ready=False).expect_exit(1)
    assert curl(first.url("/bytes/0"), cacert=certs.ca.pem).status == 200
