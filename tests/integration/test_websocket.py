"""WebSocket over HTTP/1.1 and over h2 (RFC 8441), to an HTTP/1.1 upstream."""

import asyncio
import json
import os
import ssl

import websockets
from harness import config
from harness.clients import read_all, read_until, tls, tls_context
from harness.h2client import H2Client

ENABLE_CONNECT_PROTOCOL = 8


def _text_frame(text: bytes) -> bytes:
    mask = os.urandom(4)
    assert len(text) < 126
    return bytes([0x81, 0x80 | len(text)]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(text))


def test_a_library_that_is_not_ours_talks_over_http1(gateway, origin, certs, tmp_path):
    gw = gateway(config.basic([certs.localhost], [origin.endpoint()], tmp_path))
    context = ssl.create_default_context(cafile=str(certs.ca.pem))

    async def talk():
        async with websockets.connect(f"wss://localhost:{gw.port()}/ws", ssl=context, max_size=None) as socket:
            for message in ("hello", "x" * 1_000_000, b"\x00" * 70_000):
                await socket.send(message)
                assert await asyncio.wait_for(socket.recv(), 20) == message
            pong = await socket.ping()
            await asyncio.wait_for(pong, 20)
        assert socket.close_code == 1000

    asyncio.run(talk())
    line = gw.wait_access(1, status=101)[0]
    assert line["bytes_out"] > 1_000_000


def test_over_h2_it_is_bridged_to_http1(gateway, origin, certs, tmp_path):
    gw = gateway(config.basic([certs.localhost], [origin.endpoint()], tmp_path))
    with tls(gw.port(), tls_context(certs.ca.pem)) as connection:
        client = H2Client(connection)
        client.wait(lambda: client.h2.remote_settings.get(ENABLE_CONNECT_PROTOCOL) == 1, "the offer of RFC 8441")
        number = client.start("CONNECT", "/ws", end=False, pseudo=[(":protocol", "websocket")],
                              headers=[("sec-websocket-version", "13"), ("origin", "https://localhost")])  # fmt: skip
        stream = client.streams[number]
        client.wait(lambda: stream.status, "the answer")
        assert stream.status == 200
        names = [name for name, _ in stream.headers]
        assert "sec-websocket-accept" not in names and "upgrade" not in names
        client.send(number, _text_frame(b"over h2"))
        client.wait(lambda: stream.body == b"\x81\x07over h2", "the echo")
        client.send(number, bytes([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8]))  # close, 1000
        client.wait(lambda: stream.body.endswith(b"\x88\x02\x03\xe8"), "the close")
        client.h2.end_stream(number)
        client.flush()
        client.wait(lambda: stream.ended or stream.reset is not None, "the end")
        # The connection goes on.
        assert client.get("/echo").status == 200


def test_a_route_may_refuse_it(gateway, origin, certs, tmp_path):
    made = config.basic([certs.localhost], [origin.endpoint()], tmp_path)
    made["hosts"][0]["routes"] = [{"upstream": "web", "websocket": False}]
    gw = gateway(made)
    with tls(gw.port(), tls_context(certs.ca.pem, alpn=("http/1.1",))) as connection:
        connection.sendall(
            b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert read_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 403")


def test_an_upgrade_that_the_upstream_does_not_take_is_an_answer_like_any_other(gateway, origin, certs, tmp_path):
    gw = gateway(config.basic([certs.localhost], [origin.endpoint()], tmp_path))
    with tls(gw.port(), tls_context(certs.ca.pem, alpn=("http/1.1",))) as connection:
        connection.sendall(
            b"GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert read_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_an_upgrade_to_anything_else_is_ignored(gateway, origin, certs, tmp_path):
    """h2c by Upgrade would be a second protocol on a connection that was judged as the first."""
    gw = gateway(config.basic([certs.localhost], [origin.endpoint()], tmp_path))
    with tls(gw.port(), tls_context(certs.ca.pem, alpn=("http/1.1",))) as connection:
        connection.sendall(
            b"GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings, close\r\n"
            b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        )
        head, body = read_all(connection).split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 200")
    names = [name for name, _ in json.loads(body)["headers"]]
    assert not {"upgrade", "http2-settings"} & set(names)
