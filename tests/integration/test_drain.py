"""SIGTERM: nothing that runs is cut, nothing new is begun, clients are told to go elsewhere, and
after the deadline it is over."""

import asyncio
import signal
import ssl
import threading

import pytest
import websockets
from harness import config
from harness.clients import curl, read_all, read_until, tcp, tls, tls_context
from harness.h2client import H2Client
from harness.origin import pattern
from harness.process import wait_until

GRACEFUL = (2**31 - 1, 0)


@pytest.fixture
def serve(gateway, origin, certs, tmp_path):
    def start(drain="20s", **changes):
        made = config.basic([certs.localhost], [origin.endpoint()], tmp_path, timeouts={"drain": drain}, **changes)
        return gateway(made)

    return start


def http1(gw, certs):
    return tls(gw.port(), tls_context(certs.ca.pem, alpn=("http/1.1",)))


def http2(gw, certs):
    return tls(gw.port(), tls_context(certs.ca.pem))


def test_readiness_goes_and_health_stays_while_an_exchange_runs(serve, certs):
    gw = serve()
    with http2(gw, certs) as connection:
        client = H2Client(connection)
        number = client.start(path="/stream/100000?interval=20")
        client.wait(lambda: client.streams[number].body, "the first piece")
        gw.signal(signal.SIGTERM)
        wait_until(lambda: gw.admin("/readyz")[0] == 503, "503 from /readyz", process=gw)
        assert gw.admin("/healthz")[0] == 200
        assert '"draining":true' in gw.admin("/status")[1]
        # A client that never answers the PING behind the first GOAWAY must not hold up the end.
        client.cancel(number)
        assert gw.wait_exit(timeout=15) == 0
    assert "drain_deadline" not in gw.log()


def test_h2_gets_two_goaways_and_streams_finish(serve, certs):
    """One GOAWAY with the last stream's number would cut off what the client sent meanwhile
    (RFC 9113 §6.8); the first one only asks it to stop."""
    gw = serve()
    with http2(gw, certs) as connection:
        client = H2Client(connection)
        first = client.start(path="/stream/40?interval=20")
        client.wait(lambda: client.streams[first].body, "the first piece")
        gw.signal(signal.SIGTERM)
        # The GOAWAY is in the same read as the PING; the ACK goes out only after this returns, so
        # this stream is still one that crossed the first GOAWAY on the wire.
        crossing = client.start(path="/bytes/1000")
        assert client.response(crossing).body == pattern(1000)
        assert len(client.response(first).body) == 40 * 64
        client.wait(lambda: len(client.goaways) == 2, "the second GOAWAY")
        assert client.goaways[0] == GRACEFUL
        assert client.goaways[1][1] == 0 and client.goaways[1][0] >= first
        while not client.closed:
            client.receive()
    assert gw.wait_exit() == 0


def test_an_idle_h2_connection_is_told_and_let_go(serve, certs):
    gw = serve()
    with http2(gw, certs) as connection:
        client = H2Client(connection)
        assert client.get("/bytes/1").status == 200
        gw.signal(signal.SIGTERM)
        client.wait(lambda: len(client.goaways) == 2, "both GOAWAYs")
        assert client.goaways == [GRACEFUL, (1, 0)]
        while not client.closed:
            client.receive()
    assert gw.wait_exit() == 0


def test_http1_gets_connection_close_and_its_whole_response(serve, certs):
    gw = serve()
    with http1(gw, certs) as connection:
        connection.sendall(b"GET /delay/700 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        gw.wait_metric("sallyport_http_requests_in_flight", 1)
        gw.signal(signal.SIGTERM)
        gw.wait_log("draining")
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nconnection: close\r\n" in answer.lower()
    assert gw.wait_exit() == 0


def test_a_kept_http1_connection_without_a_request_is_closed(serve, certs):
    gw = serve()
    with http1(gw, certs) as connection:
        connection.sendall(b"GET /bytes/0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"connection: close" not in read_until(connection, b"\r\n\r\n").lower()
        gw.signal(signal.SIGTERM)
        assert read_all(connection) == b""
    assert gw.wait_exit() == 0


def test_an_upload_and_a_download_finish(serve, certs):
    gw = serve()
    size = 3_000_000
    with http1(gw, certs) as up, http1(gw, certs) as down:
        up.sendall(f"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n".encode())
        up.sendall(b"x" * 1000)
        down.sendall(f"GET /bytes/{size} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = read_until(down, b"\r\n\r\n")
        gw.wait_metric("sallyport_http_requests_in_flight", 2)
        gw.signal(signal.SIGTERM)
        gw.wait_log("draining")
        up.sendall(b"x" * (size - 1000))
        assert f'"bytes":{size}' in read_all(up).decode().replace(" ", "")
        body = head.split(b"\r\n\r\n", 1)[1] + read_all(down)
        assert body == pattern(size)
    assert gw.wait_exit() == 0


def test_a_websocket_lives_until_the_deadline_and_not_longer(serve, certs):
    gw = serve(drain="1500ms")

    async def talk():
        trust = ssl.create_default_context(cafile=str(certs.ca.pem))
        async with websockets.connect(f"wss://localhost:{gw.port()}/ws", ssl=trust, compression=None) as socket_:
            await socket_.send("before")
            assert await socket_.recv() == "before"
            gw.signal(signal.SIGTERM)
            await asyncio.to_thread(gw.wait_log, "draining")
            await socket_.send("while draining")
            assert await socket_.recv() == "while draining"
            with pytest.raises(websockets.ConnectionClosed):
                await asyncio.wait_for(socket_.recv(), 20)

    asyncio.run(talk())
    assert gw.wait_exit() == 0
    assert "drain_deadline" in gw.log()


def test_new_connections_are_refused_while_draining(serve, certs):
    gw = serve()
    with http1(gw, certs) as connection:
        connection.sendall(b"GET /delay/60000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        gw.wait_metric("sallyport_http_requests_in_flight", 1)
        gw.signal(signal.SIGTERM)
        gw.wait_log("draining")

        def refused():
            try:
                tcp(gw.port()).close()
            except ConnectionRefusedError:
                return True
            return False

        wait_until(refused, "refusal of a new connection", process=gw)
        gw.signal(signal.SIGTERM)
        assert gw.wait_exit() == 0


def test_a_second_sigterm_cuts_it_short(serve, certs):
    gw = serve(drain="300s")
    with http1(gw, certs) as connection:
        connection.sendall(b"GET /stream/100000?interval=20 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        read_until(connection, b"\r\n\r\n")
        gw.signal(signal.SIGTERM)
        gw.wait_log("draining")
        gw.signal(signal.SIGTERM)
        assert gw.wait_exit() == 0
        assert not read_all(connection).endswith(b"0\r\n\r\n")  # cut, and it does not look whole
    assert "drain_cut_short" in gw.log()


def test_a_sigterm_that_comes_behind_the_end_does_not_make_it_a_kill(serve):
    """A service manager that sends it twice would log a failed service."""
    gw = serve()
    while gw.child.poll() is None:
        gw.signal(signal.SIGTERM)
    assert gw.wait_exit() == 0


def test_signals_right_at_the_start_wait_for_it(gateway, origin, certs, tmp_path):
    """A reload or a stop that the service manager sends early must not kill what is starting."""
    made = config.basic([certs.localhost], [origin.endpoint()], tmp_path)
    made["upstreams"]["spare"] = {"endpoints": [origin.endpoint()]}
    early = gateway(made, ready=False)
    early.wait_log("no route uses the upstream")  # read, not serving yet
    early.signal(signal.SIGHUP)
    early.wait_ready()
    early.wait_log("reloaded")


def test_the_deadline_ends_what_hangs(serve, certs):
    gw = serve(drain="300ms")
    with http2(gw, certs) as connection:
        client = H2Client(connection)
        number = client.start(path="/delay/600000")
        gw.wait_metric("sallyport_http_requests_in_flight", 1)
        gw.signal(signal.SIGTERM)
        assert gw.wait_exit() == 0
        assert not client.streams[number].ended
    assert "drain_deadline" in gw.log()


def test_a_reload_while_draining_changes_nothing(serve, certs):
    gw = serve()
    with http1(gw, certs) as connection:
        connection.sendall(b"GET /delay/500 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        gw.wait_metric("sallyport_http_requests_in_flight", 1)
        gw.signal(signal.SIGTERM)
        gw.wait_log("draining")
        gw.signal(signal.SIGHUP)
        assert read_all(connection).startswith(b"HTTP/1.1 200 ")
    assert gw.wait_exit() == 0
    assert "reloaded" not in gw.log()


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_many_requests_at_once_all_finish(serve, certs, version):
    gw = serve()
    answers = []

    def ask():
        answers.append(curl(gw.url("/delay/600"), http=version, cacert=certs.ca.pem).status)

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    gw.wait_metric("sallyport_http_requests_in_flight", 10)
    gw.signal(signal.SIGTERM)
    for thread in threads:
        thread.join()
    assert answers == [200] * 10
    assert gw.wait_exit() == 0
