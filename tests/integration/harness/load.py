"""A steady load in the background, every answer of which is checked, and exchanges that stay open
beside it: what a reload must not touch."""

import asyncio
import socket
import ssl
import threading

import websockets

from .clients import tls, tls_context
from .h2client import H2Client
from .origin import pattern


PAUSE = 0.002  # between turns: the load is to be steady, not all that the machine can do


class Worker(threading.Thread):
    """Runs `turn` until stop(); what it raises fails the test in stop()."""

    def __init__(self):
        super().__init__(daemon=True)
        self.turns = 0
        self.failure: BaseException | None = None
        self._stopping = threading.Event()

    def run(self):
        try:
            self.begin()
            while not self._stopping.is_set():
                self.turn()
                self.turns += 1
                self._stopping.wait(PAUSE)
            self.end()
        except BaseException as failure:  # noqa: BLE001: told by stop()
            self.failure = failure

    def stop(self):
        self._stopping.set()
        self.join(60)
        assert not self.is_alive(), f"{type(self).__name__} hangs after {self.turns} turns"
        if self.failure is not None:
            raise AssertionError(f"{type(self).__name__}, turn {self.turns}: {self.failure!r}") from self.failure

    def begin(self):
        pass

    def turn(self):
        raise NotImplementedError

    def end(self):
        pass


class _OnTls(Worker):
    protocol = "http/1.1"

    def __init__(self, port: int, cacert):
        super().__init__()
        self.port, self.context = port, tls_context(cacert, alpn=(self.protocol,))

    def begin(self):
        self.connection = tls(self.port, self.context)

    def end(self):
        self.connection.close()


def response_of(connection, size: int) -> bytes:
    """One HTTP/1.1 response with a Content-Length of `size`."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        assert more, f"cut off after {data!r}"
        data += more
    head, body = data.split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 200 "), head
    assert b"connection: close" not in head.lower(), head
    while len(body) < size:
        more = connection.recv(65536)
        assert more, f"cut off after {len(body)} of {size} bytes"
        body += more
    return body


class KeptHttp1(_OnTls):
    """One HTTP/1.1 connection, request after request."""

    def turn(self):
        self.connection.sendall(b"GET /bytes/3000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert response_of(self.connection, 3000) == pattern(3000)


class FreshHttp1(_OnTls):
    """A new connection for each request."""

    def begin(self):
        pass

    def turn(self):
        with tls(self.port, self.context) as connection:
            connection.sendall(b"GET /bytes/300 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert response_of(connection, 300) == pattern(300)

    def end(self):
        pass


class KeptHttp2(_OnTls):
    """One HTTP/2 connection with one stream that never ends and others beside it."""

    protocol = "h2"

    def begin(self):
        super().begin()
        self.client = H2Client(self.connection)
        self.endless = self.client.start(path="/stream/1000000?interval=20")

    def turn(self):
        numbers = [self.client.start(path="/bytes/2000") for _ in range(4)]
        for number in numbers:
            response = self.client.response(number)
            assert (response.status, response.body) == (200, pattern(2000)), response
            del self.client.streams[number]
        endless = self.client.streams[self.endless]
        assert not endless.ended and endless.reset is None, endless
        endless.body = b""
        assert not self.client.goaways, self.client.goaways


class Download(_OnTls):
    """One long response, taken slowly, which must come whole and right."""

    SIZE = 64_000_000

    def begin(self):
        super().begin()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.connection.sendall(f"GET /bytes/{self.SIZE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        self.body = b""
        while b"\r\n\r\n" not in self.body:
            self.body += self.connection.recv(1024)
        self.body = self.body.split(b"\r\n\r\n", 1)[1]
        self.wanted = memoryview(pattern(self.SIZE))
        self.at = 0
        self._check()

    def _check(self):
        assert self.body == self.wanted[self.at : self.at + len(self.body)], f"wrong near {self.at}"
        self.at += len(self.body)

    def _take(self, count):
        self.body = self.connection.recv(count)
        assert self.body or self.at == self.SIZE, f"cut off at {self.at}"
        self._check()

    def turn(self):
        if self.at < self.SIZE // 2:
            self._take(4096)

    def end(self):
        while self.at < self.SIZE:
            self._take(1 << 16)
        super().end()


class WebSocket(Worker):
    """Echo after echo over one connection."""

    def __init__(self, port: int, cacert):
        super().__init__()
        self.port, self.trust = port, ssl.create_default_context(cafile=str(cacert))

    def begin(self):
        self.loop = asyncio.new_event_loop()
        self.socket = self._run(self._open())

    def _run(self, awaitable):
        return self.loop.run_until_complete(asyncio.wait_for(awaitable, 30))

    async def _open(self):
        return await websockets.connect(f"wss://localhost:{self.port}/ws", ssl=self.trust, compression=None)

    def turn(self):
        message = f"message {self.turns}"
        self._run(self.socket.send(message))
        assert self._run(self.socket.recv()) == message

    def end(self):
        self._run(self.socket.close())
        self.loop.close()


class Load:
    """with Load(gateway, certs): ...; leaving it checks that nothing of it failed."""

    def __init__(self, gateway, certs, kinds=(KeptHttp1, FreshHttp1, KeptHttp2, Download, WebSocket)):
        self.workers = [kind(gateway.port(), certs.ca.pem) for kind in kinds]

    def __enter__(self):
        for worker in self.workers:
            worker.start()
        return self

    def turns(self) -> int:
        """Of the one that has done the least."""
        return min(worker.turns for worker in self.workers)

    def check(self):
        for worker in self.workers:
            assert worker.failure is None, f"{type(worker).__name__}, turn {worker.turns}: {worker.failure!r}"

    def __exit__(self, kind, *_):
        failures = []
        for worker in self.workers:
            try:
                worker.stop()
            except AssertionError as failure:
                failures.append(failure)
        if failures and kind is None:
            raise failures[0]
