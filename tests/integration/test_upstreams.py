"""Pools of connections to upstreams: kept and shared, never handed out stale, retried only where
that is safe, balanced, ejected and taken back, verified over TLS, and with origins not of ours."""

import concurrent.futures
import json
import shutil
import socket
import struct
import subprocess
import threading
import time

import pytest
from harness import config
from harness.clients import curl, read_until, tls, tls_context
from harness.h2client import H2Client
from harness.origin import pattern
from harness.process import wait_until
from harness.scripted import ScriptedOrigin, ok


@pytest.fixture
def serve(gateway, certs, tmp_path):
    """serve({"endpoints": [...], ...}): a gateway with this upstream; ask(path) to go with it."""

    def start(upstream, **changes):
        made = config.basic([certs.localhost], [], tmp_path, **changes)
        made["upstreams"] = {"web": upstream}
        gw = gateway(made)

        def ask(path="/", **more):
            return curl(gw.url(path), cacert=certs.ca.pem, **more)

        def value(name, **labels):
            return gw.metrics().value(f"sallyport_upstream_{name}", **labels)

        ask.gateway, ask.value = gw, value
        return ask

    return start


@pytest.fixture
def scripted():
    started = []

    def start(script=lambda origin, request, nth: (ok(), True), listener=None):
        started.append(ScriptedOrigin(script, listener))
        return started[-1]

    yield start
    for origin in started:
        origin.close()


def at_once(count, call):
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(call) for _ in range(count)]]


def requests_over_one(gw, certs, paths):
    """Over one client connection, one after the other: bodies."""
    with tls(gw.port(), tls_context(certs.ca.pem)) as connection:
        client = H2Client(connection)
        return [client.get(path).body for path in paths]


def streams_at_once(gw, certs, path, count):
    """Sent in one go over one client connection: statuses."""
    with tls(gw.port(), tls_context(certs.ca.pem)) as connection:
        client = H2Client(connection)
        numbers = [client.start(path=path) for _ in range(count)]
        return [client.response(number).status for number in numbers]


# ---- kept connections ----


@pytest.mark.parametrize("protocol", ["h1", "h2"])
def test_one_connection_serves_request_after_request(serve, start_origin, protocol):
    own = start_origin()
    ask = serve({"protocol": protocol, "endpoints": [own.endpoint(protocol)]})
    for _ in range(10):
        assert ask("/bytes/10").status == 200
    assert own.stats()["connections"] == 1 + 1  # and that of the question
    assert ask.value("requests_total", reused="true") == 9
    assert ask.value("connections", state="idle") == 1


def test_idle_and_age_limits_close_connections(serve, start_origin):
    own = start_origin()
    ask = serve({"endpoints": [own.endpoint()], "pool": {"idle_timeout": "200ms"}})
    assert ask("/bytes/1").status == 200
    wait_until(lambda: ask.value("connections") == 0, "the idle connection closed", process=ask.gateway)
    assert ask("/bytes/1").status == 200
    assert own.stats()["connections"] == 2 + 1


def test_a_connection_serves_no_more_requests_than_allowed(serve, start_origin):
    own = start_origin()
    ask = serve({"endpoints": [own.endpoint()], "pool": {"max_requests": 2}})
    for _ in range(6):
        assert ask("/bytes/1").status == 200
    assert own.stats()["connections"] == 3 + 1


def test_the_cap_on_connections_queues_and_the_cap_on_waiting_refuses(serve, start_origin, certs):
    own = start_origin()
    limits = {"max_connections": 2, "max_pending": 3}
    ask = serve({"endpoints": [own.endpoint()], "pool": limits})
    with tls(ask.gateway.port(), tls_context(certs.ca.pem)) as connection:
        client = H2Client(connection)
        numbers = [client.start(path="/delay/1500") for _ in range(2)]
        wait_until(lambda: ask.value("connections", state="active") == 2, "two connections", process=ask.gateway)
        numbers += [client.start(path="/delay/1") for _ in range(7)]
        statuses = sorted(client.response(number).status for number in numbers)
    assert statuses == [200] * 5 + [503] * 4
    assert ask.gateway.wait_access(4, reason="upstream_unavailable", error="pool_exhausted")
    assert own.stats()["connections"] == 2 + 1


@pytest.mark.parametrize("protocol", ["h1", "h2"])
def test_a_request_that_a_connection_is_dialed_for_is_in_no_queue(serve, start_origin, certs, protocol):
    """A cold start is no overload: without a queue at all a first burst is served."""
    own = start_origin()
    ask = serve({"protocol": protocol, "endpoints": [own.endpoint(protocol)], "pool": {"max_pending": 0}})
    assert streams_at_once(ask.gateway, certs, "/delay/50", 20) == [200] * 20
    assert ask.value("pending_requests") == 0


# ---- stale connections ----


def test_a_connection_that_the_origin_closed_while_idle_is_not_used(serve, scripted):
    own = scripted()
    ask = serve({"endpoints": [own.endpoint]})
    for _ in range(5):
        # A POST could not be retried: it succeeds because the closed connection is not picked.
        assert ask(method="POST", data=b"x").status == 200
        own.close_connections()
        wait_until(lambda: ask.value("connections") == 0, "the close noticed", process=ask.gateway)
    assert own.connections == 5
    assert ask.value("retries_total") == 0


def test_an_origin_that_closes_behind_each_response_without_saying_so(serve, scripted, certs):
    own = scripted(lambda origin, request, nth: (ok(), False))
    ask = serve({"endpoints": [own.endpoint]})
    assert requests_over_one(ask.gateway, certs, ["/"] * 50) == [b"ok"] * 50


def second_request_meets_the_end(origin, request, nth):
    return (ok(), True) if nth == 0 else (b"", False)


def test_a_get_that_meets_a_stale_connection_is_retried_on_a_new_one(serve, scripted):
    own = scripted(second_request_meets_the_end)
    ask = serve({"endpoints": [own.endpoint]})
    assert ask().status == 200
    assert ask().status == 200
    assert ask.gateway.wait_access(2)[1]["retries"] == 1
    assert own.connections == 2
    assert ask.value("retries_total", cause="closed", result="success") == 1


def test_a_post_that_was_sent_is_never_sent_twice(serve, scripted):
    """The origin may have acted on it: the client hears of it and decides."""
    own = scripted(second_request_meets_the_end)
    ask = serve({"endpoints": [own.endpoint]})
    assert ask().status == 200
    lost = ask("/order", method="POST", data=b"one book")
    assert (lost.status, b"upstream_reset" in lost.body) == (502, True)
    assert len([r for r in own.requests if r.startswith(b"POST /order")]) == 1


def test_an_origin_that_dies_on_every_request_is_tried_a_bounded_number_of_times(serve, scripted):
    own = scripted(lambda origin, request, nth: (b"", False))
    ask = serve({"endpoints": [own.endpoint], "retries": {"count": 2}, "ejection": {"failures": 0}})
    assert ask().status == 502
    assert 1 <= len(own.requests) <= 3


# ---- connect failures, ejection ----


def test_a_refused_connection_is_retried_elsewhere_also_for_a_post(serve, origin, refused_port):
    ask = serve({"endpoints": [f"127.0.0.1:{refused_port}", origin.endpoint()], "ejection": {"failures": 0}})
    for _ in range(6):
        response = ask("/upload", method="POST", data=b"hello")
        assert (response.status, json.loads(response.body)["bytes"]) == (200, 5)
    assert ask.value("connections_total", result="refused") >= 1
    assert ask.value("retries_total", cause="connect_refused", result="success") >= 1


def test_nobody_there_is_a_502_that_says_so(serve, refused_port):
    ask = serve({"endpoints": [f"127.0.0.1:{refused_port}"]})
    response = ask()
    assert (response.status, b"upstream_connect: connect_refused" in response.body) == (502, True)


def test_an_endpoint_that_fails_is_passed_over_and_taken_back(serve, origin, scripted):
    with socket.socket() as down:
        down.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % down.getsockname()[1]
        ask = serve({"endpoints": [address, origin.endpoint()],
                     "ejection": {"failures": 2, "time": "400ms", "max_time": "400ms"}})  # fmt: skip
        while ask.value("ejections_total", kind="connect") < 1:
            assert ask("/bytes/2").status == 200
        assert ask.value("endpoints", state="ejected") == 1
        assert ask.value("endpoints", state="healthy") == 1
        back = scripted(listener=down)
        wait_until(lambda: ask().body == b"ok" or None, "a request to the endpoint that is back", process=ask.gateway)
        assert ask.value("endpoints", state="ejected") == 0
        assert back.connections == 1


def test_gateway_errors_eject_and_when_all_fail_they_are_tried_all_the_same(serve, scripted):
    bad = scripted(lambda origin, request, nth: (b"HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n", True))
    good = scripted()
    ejection = {"failures": 3, "time": "60s", "max_ejected": "100%"}
    ask = serve({"endpoints": [bad.endpoint, good.endpoint], "ejection": ejection})
    assert sorted({ask().status for _ in range(12)}) == [200, 503]
    assert ask.value("ejections_total", kind="errors") == 1
    assert [ask().status for _ in range(6)] == [200] * 6
    alone = serve({"endpoints": [bad.endpoint], "ejection": ejection})
    assert [alone().status for _ in range(6)] == [503] * 6  # better a try than a refusal


def test_what_clients_do_wrong_ejects_nobody(serve, origin):
    """A client that sends too much, again and again, must not take an endpoint away from the others."""
    upstream = {"protocol": "h1", "endpoints": [origin.endpoint()], "ejection": {"failures": 2, "max_ejected": "100%"}}
    ask = serve(upstream, limits={"request_body": "1KiB"})
    for _ in range(6):  # chunked: that it is too long shows only once the upstream was asked
        answer = ask("/upload", http="1.1", method="POST", data=b"x" * 5000, headers=["Transfer-Encoding: chunked"])
        assert answer.status == 413
    assert ask.value("ejections_total") == 0
    assert ask("/bytes/1").status == 200


# ---- balance ----


def counted(scripted, count, delay=0.0):
    def script(origin, request, nth):
        time.sleep(delay)
        return ok(), True

    return [scripted(script) for _ in range(count)]


def test_round_robin_takes_turns_and_weights_count(serve, scripted, certs):
    one, two = counted(scripted, 2)
    ask = serve({"endpoints": [one.endpoint, two.endpoint]})
    requests_over_one(ask.gateway, certs, ["/"] * 20)
    assert (len(one.requests), len(two.requests)) == (10, 10)
    heavy, light = counted(scripted, 2)
    ask = serve({"endpoints": [{"address": heavy.endpoint, "weight": 3}, light.endpoint]})
    requests_over_one(ask.gateway, certs, ["/"] * 40)
    assert (len(heavy.requests), len(light.requests)) == (30, 10)


def test_least_request_spares_a_slow_endpoint(serve, scripted, certs):
    (fast,), (slow,) = counted(scripted, 1), counted(scripted, 1, delay=0.5)
    ask = serve({"balance": "least_request", "endpoints": [slow.endpoint, fast.endpoint]})
    at_once(4, lambda: requests_over_one(ask.gateway, certs, ["/"] * 15))
    assert len(fast.requests) + len(slow.requests) == 60
    assert len(fast.requests) > 2 * len(slow.requests)


def test_names_are_resolved(serve, origin):
    ask = serve({"endpoints": [f"localhost:{origin.port()}"]})
    assert ask("/bytes/3").body == pattern(3)


def test_a_name_that_does_not_exist_is_a_502_that_says_so(serve, origin):
    ask = serve({"endpoints": ["nowhere.invalid:80"], "timeouts": {"connect": "300ms"},
                 "resolve": {"timeout": "1s"}})  # fmt: skip
    response = ask()
    assert (response.status, b"name_unresolved" in response.body) == (502, True)


# ---- TLS ----


@pytest.fixture
def tls_origin(start_origin):
    def start(leaf, kind="h1", **more):
        own = start_origin(**{kind: "127.0.0.1:0"}, cert=leaf.chain, key=leaf.key, **more)
        return own.endpoint(kind)

    return start


@pytest.mark.parametrize("case", ["untrusted", "wrong name", "expired", "system CAs"])
def test_an_upstream_that_cannot_be_verified_gets_nothing(serve, tls_origin, certs, case):
    """Whoever sits between would read every request otherwise; verification is the default."""
    leaf = {
        "untrusted": certs.other_ca.leaf("localhost", "127.0.0.1"),
        "wrong name": certs.ca.leaf("elsewhere.test"),
        "expired": certs.ca.leaf("localhost", "127.0.0.1", end=-1),
        "system CAs": certs.localhost,
    }[case]
    settings = {} if case == "system CAs" else {"ca": str(certs.ca.pem)}
    ask = serve({"endpoints": [tls_origin(leaf)], "tls": settings})
    response = ask("/echo")
    assert (response.status, b"upstream_tls: tls_untrusted" in response.body) == (502, True), response.body
    assert ask.value("connections_total", result="tls_verify") >= 1
    assert ask.value("connections_total", result="ok") == 0


def test_an_own_ca_a_name_and_a_client_certificate(serve, tls_origin, certs):
    leaf = certs.ca.leaf("api.internal")
    identity = {"chain": str(certs.client.chain), "key": str(certs.client.key)}
    settings = {"server_name": "api.internal", "ca": str(certs.ca.pem), "certificate": identity}
    endpoint = tls_origin(leaf, client_ca=certs.ca.pem)
    seen = json.loads(serve({"endpoints": [endpoint], "tls": settings})("/echo").body)["tls"]
    assert seen["sni"] == "api.internal"
    assert "alice" in seen["client_subject"]
    del settings["certificate"]
    refused = serve({"endpoints": [endpoint], "tls": settings})("/echo")
    assert (refused.status, b"upstream_" in refused.body) == (502, True)


@pytest.mark.parametrize("how, word", [("FIN", b"upstream_tls: tls_closed"), ("RST", b"upstream_tls: tls_reset")])
def test_an_upstream_that_hangs_up_on_the_client_hello_is_a_tls_failure(serve, certs, how, word):
    """Not that of a request: who reads it looks at certificates and SNI, not at the application."""

    def hang_up():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                if how == "RST":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=hang_up, daemon=True).start()
        ask = serve({"endpoints": ["127.0.0.1:%d" % listener.getsockname()[1]], "tls": {"verify": False},
                     "retries": {"count": 1}})  # fmt: skip
        response = ask()
        assert (response.status, word in response.body) == (502, True), response.body
        assert ask.value("connections_total", result="tls_other") == 2  # provably unsent, so tried again
        assert ask.value("connections_total", result="ok") == 0
        listener.shutdown(socket.SHUT_RDWR)


def test_verification_can_be_turned_off_for_tests(serve, tls_origin, certs):
    ask = serve({"endpoints": [tls_origin(certs.other_ca.leaf("x.test"))], "tls": {"verify": False}})
    assert ask("/bytes/1").status == 200


# ---- protocol: auto, HTTP/2 ----


def test_auto_takes_h2_where_alpn_offers_it(serve, tls_origin, certs):
    ask = serve({"protocol": "auto", "endpoints": [tls_origin(certs.localhost, "auto")],
                 "tls": {"ca": str(certs.ca.pem)}})  # fmt: skip
    seen = [json.loads(ask("/echo").body) for _ in range(3)]
    assert {entry["tls"]["alpn"] for entry in seen} == {"h2"}
    assert ask.value("connections_total", proto="h2", result="ok") == 1


def test_auto_falls_back_to_http1_and_remembers(serve, tls_origin, certs):
    ask = serve({"protocol": "auto", "endpoints": [tls_origin(certs.localhost, "h1")],
                 "tls": {"ca": str(certs.ca.pem)}})  # fmt: skip
    assert json.loads(ask("/echo").body)["version"] == "HTTP/1.1"
    # Known by now: ten at once dial ten connections at once, and wait for none that might be h2.
    assert streams_at_once(ask.gateway, certs, "/delay/300", 10) == [200] * 10
    assert ask.value("connections_total", proto="http/1.1", result="ok") == 10
    assert ask.value("connections_total", proto="h2") == 0


def test_the_peer_s_limit_of_streams_is_kept_from_the_first_burst_on(serve, start_origin, certs):
    """What is sent before its SETTINGS came would be refused beyond the limit: nothing is, and no
    request costs a retry. Nor does each that waits dial."""
    own = start_origin(h1="127.0.0.1:0", h2="127.0.0.1:0", h2_max_streams="2")
    ask = serve({"protocol": "h2", "endpoints": [own.endpoint("h2")], "retries": {"count": 0}})
    assert streams_at_once(ask.gateway, certs, "/delay/300", 12) == [200] * 12
    assert ask.value("retries_total") == 0
    assert own.stats()["connections"] <= 6 + 1


def test_a_goaway_ends_a_connection_and_no_request(serve, start_origin, certs):
    own = start_origin()
    ask = serve({"protocol": "h2", "endpoints": [own.endpoint("h2")]})
    with tls(ask.gateway.port(), tls_context(certs.ca.pem)) as connection:
        client = H2Client(connection)
        running = client.start(path="/stream/20?interval=10")
        client.wait(lambda: client.streams[running].body, "the first piece")
        for _ in range(10):
            assert client.get("/close").status == 200
            assert client.post("/upload", b"x" * 1000).status == 200
        assert len(client.response(running).body) == 20 * 64
    assert own.stats()["connections"] >= 10
    ask.gateway.wait_metric("sallyport_h2_goaway_total", 10, side="upstream", dir="rx", error_code="no_error")


def test_a_client_that_leaves_resets_the_upstream_s_stream_and_only_that(serve, start_origin, certs):
    own = start_origin()
    ask = serve({"protocol": "h2", "endpoints": [own.endpoint("h2")]})
    with tls(ask.gateway.port(), tls_context(certs.ca.pem)) as connection:
        client = H2Client(connection)
        left = client.start(path="/delay/20000")
        assert client.get("/bytes/1").status == 200
        client.cancel(left)
        ask.gateway.wait_metric("sallyport_h2_streams_reset_total", 1, side="client", dir="rx", error_code="cancel")
        ask.gateway.wait_metric("sallyport_h2_streams_reset_total", 1, side="upstream", dir="tx", error_code="cancel")
        assert client.get("/bytes/1").status == 200
    assert own.stats()["connections"] == 1 + 1


# ---- origins not of ours ----


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.fixture
def peer():
    """peer(command): runs it until the test ends, ready once `port` listens."""
    started = []

    def start(port, *command):
        started.append(subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
        child = started[-1]
        wait_until(lambda: listening(port) or child.poll() is not None, f"start of {command[0]}")
        assert child.poll() is None, child.stderr.read().decode()

    yield start
    for child in started:
        child.terminate()
        child.wait(20)


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "small").write_bytes(pattern(100))
    (folder / "large").write_bytes(pattern(2_000_000))
    return folder


@pytest.fixture
def nginx(peer, files, tmp_path):
    """The port of one that closes every connection after three requests."""
    port = free_port()
    conf = tmp_path / "nginx.conf"
    conf.write_text(f"""
        daemon off; master_process off; pid {tmp_path}/nginx.pid; error_log stderr crit;
        events {{}}
        http {{
          access_log off; client_body_temp_path {tmp_path}/b; proxy_temp_path {tmp_path}/p;
          fastcgi_temp_path {tmp_path}/f; uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;
          keepalive_requests 3;
          server {{ listen 127.0.0.1:{port}; root {files}; location /post {{ return 200 "posted"; }} }}
        }}""")
    peer(port, shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin"), "-c", conf, "-e", "stderr")
    return port


def test_nginx_as_an_origin_that_closes_after_every_third_request(serve, nginx, certs):
    ask = serve({"endpoints": [f"127.0.0.1:{nginx}"]})
    bodies = requests_over_one(ask.gateway, certs, ["/small", "/large", "/missing"] * 5)
    assert [len(body) for body in bodies[:2]] == [100, 2_000_000]
    assert bodies[1] == pattern(2_000_000)
    for _ in range(8):
        assert ask("/post", method="POST", data=b"x" * 100).body == b"posted"
    assert ask.value("requests_total", reused="true") > 0


def test_a_clear_text_origin_where_tls_is_expected_is_told_apart(serve, nginx):
    ask = serve({"endpoints": [f"127.0.0.1:{nginx}"], "tls": {"verify": False}})
    response = ask("/small")
    assert (response.status, b"upstream_tls: tls_failed" in response.body) == (502, True), response.body
    assert ask.value("connections_total", result="tls_other") >= 1


def test_nghttpd_as_an_h2_origin(serve, peer, files, certs):
    port = free_port()
    leaf = certs.localhost
    peer(port, "nghttpd", "-d", files, "--max-concurrent-streams=3", port, leaf.key, leaf.chain)
    ask = serve({"protocol": "auto", "endpoints": [f"localhost:{port}"], "tls": {"ca": str(certs.ca.pem)}})
    assert ask("/large").body == pattern(2_000_000)
    assert [len(body) for body in at_once(8, lambda: ask("/small").body)] == [100] * 8
    with tls(ask.gateway.port(), tls_context(certs.ca.pem, alpn=("http/1.1",))) as connection:
        for _ in range(5):
            connection.sendall(b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = read_until(connection, pattern(100))
            assert answer.startswith(b"HTTP/1.1 200")
    assert ask.value("connections_total", proto="h2", result="ok") >= 1
