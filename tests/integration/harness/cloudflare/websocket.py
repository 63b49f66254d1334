"""Frames of RFC 6455 over a connection that was upgraded: what Cloudflare passes to and fro."""

import asyncio
import base64
import os

from .http1 import Http1
from .terms import Failed, Request

TEXT, CLOSE = 1, 8


def upgrade(path: str, authority: str, headers) -> Request:
    key = base64.b64encode(os.urandom(16)).decode()
    return Request("GET", path, authority, [*headers, ("connection", "Upgrade"), ("upgrade", "websocket"),
                                            ("sec-websocket-key", key), ("sec-websocket-version", "13")])  # fmt: skip


def frame(opcode: int, payload: bytes) -> bytes:
    """As a client sends it: masked, unfragmented."""
    assert len(payload) < 126
    mask = os.urandom(4)
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


class Socket:
    def __init__(self, connection: Http1):
        self._connection = connection
        self._bytes = b""

    async def say(self, opcode: int, payload: bytes) -> None:
        await self._connection.wire.write(frame(opcode, payload))

    async def hear(self) -> tuple[int, bytes]:
        """The next frame; 520 if the connection ends without one, 524 if none comes."""
        while len(self._bytes) < 2 or len(self._bytes) < 2 + self._bytes[1]:
            try:
                async with asyncio.timeout(self._connection.times.read):
                    data = await self._connection.receive()
            except TimeoutError:
                raise Failed(524, "read_timeout") from None
            if not data:
                raise Failed(520, "cut_off", self._connection.failure or "closed")
            self._bytes += data
        size = 2 + self._bytes[1]
        taken, self._bytes = self._bytes[:size], self._bytes[size:]
        return taken[0] & 15, taken[2:]

    async def echo(self, text: bytes) -> None:
        await self.say(TEXT, text)
        heard = await self.hear()
        if heard != (TEXT, text):
            raise Failed(520, "malformed", heard)

    async def close(self) -> None:
        await self.say(CLOSE, (1000).to_bytes(2, "big"))
        heard = await self.hear()
        if heard != (CLOSE, b"\x03\xe8"):
            raise Failed(520, "cut_off", heard)
