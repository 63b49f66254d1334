"""The two ends of an exchange under chaos: clients and an origin of HTTP/1.1 and HTTP/2 that live
in the test's event loop, send fixed bytes, and say precisely what reached them. A message counts
as whole only by its framing; that the connection ended proves nothing.
"""

import asyncio
import base64
import dataclasses
import hashlib
import re
import ssl
from typing import Callable

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_GONE = (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, BrokenPipeError)


@dataclasses.dataclass(frozen=True)
class Exchange:
    """What is asked and what is answered. `talk`: the request's pieces wait for their echo, one by
    one (gRPC); `tunnel`: the same over a WebSocket's bytes."""

    name: str
    method: str = "GET"
    request: tuple[bytes, ...] = ()
    request_trailers: tuple[tuple[str, str], ...] = ()
    response: tuple[bytes, ...] = ()
    response_trailers: tuple[tuple[str, str], ...] = ()
    chunked: bool = False
    talk: bool = False
    tunnel: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(self.request)

    @property
    def answer(self) -> bytes:
        return b"".join(self.request if self.talk or self.tunnel else self.response)


@dataclasses.dataclass
class Message:
    """What one end received. `whole` by its framing; `reset`: how an unfinished one ended."""

    head: bool = False
    status: int = 0
    body: bytes = b""
    trailers: tuple[tuple[str, str], ...] = ()
    whole: bool = False
    ended: str = ""  # "", fin, reset, or the number of an RST_STREAM


class Progress:
    """One case's course, for whoever waits for a point of it."""

    def __init__(self, exchange: Exchange, hold: bool = False):
        self.exchange, self.hold = exchange, hold
        self.asked = asyncio.Event()  # the origin has the whole request
        self.dropped = asyncio.Event()  # the origin's side was cut off
        self.head_seen = asyncio.Event()  # the client has the response's head
        self.answered = asyncio.Event()  # … and its end
        self.before: tuple[str, Callable[[], None]] | None = None  # a GET first on the connection, and then
        self.written: list[bytes] = []  # by the client, piece by piece; over TLS a record each
        self.received: list[Message] = []  # at the origin
        self.response = Message()  # at the client


def _ending(error: BaseException) -> str:
    return "fin" if isinstance(error, (asyncio.IncompleteReadError, ssl.SSLEOFError)) else "reset"


# ---- HTTP/1.1 ------------------------------------------------------------------------------------


async def _read_chunked(reader, message: Message) -> None:
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line, 16)
        if size == 0:
            break
        message.body += await reader.readexactly(size)
        assert await reader.readexactly(2) == b"\r\n"
    trailers = []
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        name, _, value = line.decode().strip().partition(":")
        trailers.append((name.lower(), value.strip()))
    message.trailers = tuple(trailers)


async def _read_body(reader, head: bytes, message: Message) -> None:
    """Of a request or response with explicit framing; anything else has none."""
    lower = head.lower()
    if b"\r\ntransfer-encoding: chunked" in lower:
        await _read_chunked(reader, message)
    elif length := re.search(rb"\r\ncontent-length: (\d+)", lower):
        left = int(length.group(1))
        while left:
            piece = await reader.read(min(left, 65536))
            if not piece:
                raise asyncio.IncompleteReadError(b"", left)
            message.body += piece
            left -= len(piece)
    message.whole = True


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


def _last_chunk(trailers) -> bytes:
    return b"0\r\n" + b"".join(f"{name}: {value}\r\n".encode() for name, value in trailers) + b"\r\n"


def http1_request(exchange: Exchange, target: str) -> list[bytes]:
    """The head, then the body's pieces framed."""
    lines = [f"{exchange.method} {target} HTTP/1.1", "Host: localhost"]
    pieces = list(exchange.request)
    if exchange.tunnel:
        lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                  "Sec-WebSocket-Key: " + base64.b64encode(bytes(16)).decode()]  # fmt: skip
        pieces = []
    elif exchange.chunked:
        lines += ["TE: trailers", "Connection: TE", "Transfer-Encoding: chunked"]
        pieces = [*map(_chunk, pieces), _last_chunk(exchange.request_trailers)]
    elif pieces:
        lines += [f"Content-Length: {len(exchange.body)}"]
    return ["\r\n".join([*lines, "", ""]).encode(), *pieces]


async def _tunnel_talk(reader, writer, exchange: Exchange, response: Message, written) -> None:
    response.body = b""
    for piece in exchange.request:
        written.append(piece)
        writer.write(piece)
        response.body += await reader.readexactly(len(piece))
    if writer.can_write_eof():
        writer.write_eof()
        response.whole = await reader.read(1) == b""
    else:  # TLS of this library ends both halves at once
        response.whole = True
        writer.close()


async def http1_client(address, exchange: Exchange, target: str, progress: Progress, tls=None) -> None:
    response, writer, sending = progress.response, None, None

    async def send():
        for piece in http1_request(exchange, target):
            progress.written.append(piece)
            writer.write(piece)
            await writer.drain()

    try:
        reader, writer = await asyncio.open_connection(*address, ssl=tls, server_hostname="localhost" if tls else None)
        if progress.before:
            before, then = progress.before
            writer.write(http1_request(Exchange("before"), before)[0])
            await _read_body(reader, await reader.readuntil(b"\r\n\r\n"), Message())
            then()
        sending = asyncio.get_running_loop().create_task(send())
        head = await reader.readuntil(b"\r\n\r\n")
        response.head, response.status = True, int(head.split(b" ", 2)[1])
        progress.head_seen.set()
        if response.status == 101:
            await _tunnel_talk(reader, writer, exchange, response, progress.written)
        else:
            await _read_body(reader, head, response)
        if response.whole:
            progress.answered.set()
    except _GONE as error:
        response.ended = _ending(error)
    finally:
        await _end(sending, writer)


async def _end(sending, writer) -> None:
    if sending:
        sending.cancel()
        try:
            await sending
        except (asyncio.CancelledError, *_GONE):
            pass
    if writer:
        writer.transport.abort()


async def _answer_http1(exchange: Exchange, writer, reader, head: bytes) -> None:
    if exchange.tunnel:
        key = re.search(rb"(?i)\r\nsec-websocket-key: ([^\r]+)", head).group(1)
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")  # fmt: skip
        while data := await reader.read(65536):
            writer.write(data)
        writer.write_eof()
        return
    if exchange.chunked:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in exchange.response:
            writer.write(_chunk(piece))
        writer.write(_last_chunk(exchange.response_trailers))
    else:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(exchange.answer))
        for piece in exchange.response:
            writer.write(piece)
            await writer.drain()
    await writer.drain()


class Origin:
    """Serves every case on a port for each protocol; h1s is over TLS. `cases` maps the number in the
    path to its Progress."""

    def __init__(self):
        self.cases: dict[str, Progress] = {}
        self.strays: list[str] = []  # requests that no test has made
        self.failures: list[BaseException] = []
        self.ports: dict[str, int] = {}
        self._servers = []

    async def start(self, tls: ssl.SSLContext) -> "Origin":
        for kind, serve, context in (("h1", self._http1, None), ("h2", self._http2, None), ("h1s", self._http1, tls)):
            server = await asyncio.start_server(self._guarded(serve), "127.0.0.1", 0, backlog=128, ssl=context)
            self.ports[kind] = server.sockets[0].getsockname()[1]
            self._servers.append(server)
        return self

    async def close(self):
        for server in self._servers:
            server.close()
            await server.wait_closed()

    def find(self, target: str) -> Progress | None:
        found = self.cases.get(target.strip("/"))
        if found is None:
            self.strays.append(target)
        return found

    def _guarded(self, serve):
        async def guarded(reader, writer):
            try:
                await serve(reader, writer)
            except _GONE:
                pass
            except asyncio.CancelledError:
                pass
            except BaseException as failure:  # noqa: BLE001: told by the test
                self.failures.append(failure)
            finally:
                writer.close()

        return guarded

    async def _http1(self, reader, writer):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            progress = self.find(head.split(b" ", 2)[1].decode())
            if progress is None:
                return
            message = Message(head=True)
            progress.received.append(message)
            try:
                await _read_body(reader, head, message)
                progress.asked.set()
                if progress.hold:
                    assert await reader.read(1) == b""
                    message.ended = "fin"
                    return
                await _answer_http1(progress.exchange, writer, reader, head)
            except _GONE as error:
                message.ended = _ending(error)
                raise
            finally:
                if message.ended:
                    progress.dropped.set()

    async def _http2(self, reader, writer):
        await _Http2Origin(self, reader, writer).serve()


# ---- HTTP/2 --------------------------------------------------------------------------------------


class _Http2End:
    """python3-h2 over asyncio streams."""

    def __init__(self, reader, writer, client: bool):
        self.reader, self.writer = reader, writer
        configuration = h2.config.H2Configuration(client_side=client, header_encoding="utf-8",
                                                  validate_outbound_headers=False)  # fmt: skip
        self.h2 = h2.connection.H2Connection(configuration)
        self.credit = asyncio.Event()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.wrote(data)
            self.writer.write(data)

    def wrote(self, data: bytes):
        pass

    async def receive(self):
        """The events of one read; the end raises."""
        data = await self.reader.read(65536)
        if not data:
            raise asyncio.IncompleteReadError(b"", None)
        events = self.h2.receive_data(data)
        for event in events:
            if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                try:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                except h2.exceptions.StreamClosedError:
                    pass
            elif isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
                self.credit.set()
        self.flush()
        return events

    async def send(self, number: int, data: bytes, end: bool = False):
        while data:
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
            if room <= 0:
                self.credit.clear()
                await self.credit.wait()
                continue
            self.h2.send_data(number, data[:room], end_stream=end and room >= len(data))
            data = data[room:]
            self.flush()
            await self.writer.drain()


class _Http2Client(_Http2End):
    def __init__(self, reader, writer, progress: Progress):
        super().__init__(reader, writer, True)
        self.progress = progress
        self.echo = asyncio.Condition()

    def wrote(self, data: bytes):
        self.progress.written.append(data)

    async def run(self, exchange: Exchange, target: str, scheme: str):
        self.h2.initiate_connection()
        self.flush()
        # Its SETTINGS first: a request that crosses them would make two courses of one case.
        while not any(isinstance(e, h2.events.RemoteSettingsChanged) for e in await self.receive()):
            pass
        number = self.h2.get_next_available_stream_id()
        fields = [(":method", "CONNECT" if exchange.tunnel else exchange.method), (":scheme", scheme),
                  (":path", target), (":authority", "localhost")]  # fmt: skip
        if exchange.tunnel:
            fields += [(":protocol", "websocket"), ("sec-websocket-version", "13")]
        if exchange.talk:
            fields += [("content-type", "application/grpc"), ("te", "trailers")]
        elif exchange.request and not exchange.chunked and not exchange.tunnel:
            fields += [("content-length", str(len(exchange.body)))]
        body = bool(exchange.request or exchange.chunked)
        self.h2.send_headers(number, fields, end_stream=not body)
        self.flush()
        sending = asyncio.get_running_loop().create_task(self._body(number, exchange)) if body else None
        try:
            while not self._over(number, await self.receive()):
                async with self.echo:
                    self.echo.notify_all()
        finally:
            await _end(sending, None)

    async def _body(self, number: int, exchange: Exchange):
        sent = 0
        if exchange.tunnel:
            await self.progress.head_seen.wait()
        plain = not (exchange.talk or exchange.tunnel or exchange.chunked)
        for at, piece in enumerate(exchange.request, 1):
            last = plain and at == len(exchange.request)
            await self.send(number, piece, end=last)
            if last:
                return
            sent += len(piece)
            if exchange.talk or exchange.tunnel:
                async with self.echo:
                    await self.echo.wait_for(lambda: len(self.progress.response.body) >= sent)
        if exchange.request_trailers:
            self.h2.send_headers(number, exchange.request_trailers, end_stream=True)
        else:
            self.h2.end_stream(number)
        self.flush()

    def _over(self, number: int, events) -> bool:
        response = self.progress.response
        for event in events:
            if isinstance(event, h2.events.ResponseReceived):
                response.head, response.status = True, int(dict(event.headers)[":status"])
                self.progress.head_seen.set()
            elif isinstance(event, h2.events.DataReceived):
                response.body += event.data
            elif isinstance(event, h2.events.TrailersReceived):
                response.trailers = tuple(tuple(field) for field in event.headers)
            elif isinstance(event, h2.events.StreamEnded):
                response.whole = True
                self.progress.answered.set()
                return True
            elif isinstance(event, h2.events.StreamReset):
                response.ended = str(int(event.error_code))
                return True
            elif isinstance(event, h2.events.ConnectionTerminated):
                response.ended = "goaway"
                return True
        return False


async def http2_client(address, exchange: Exchange, target: str, progress: Progress, tls=None) -> None:
    writer = None
    try:
        reader, writer = await asyncio.open_connection(*address, ssl=tls, server_hostname="localhost" if tls else None)
        await _Http2Client(reader, writer, progress).run(exchange, target, "https" if tls else "http")
    except _GONE as error:
        progress.response.ended = _ending(error)
    finally:
        await _end(None, writer)


class _Http2Origin(_Http2End):
    def __init__(self, origin: Origin, reader, writer):
        super().__init__(reader, writer, False)
        self.origin = origin
        self.open: dict[int, tuple[Progress, Message]] = {}
        self.tasks = []

    async def serve(self):
        self.h2.initiate_connection()
        self.flush()
        try:
            while True:
                for event in await self.receive():
                    self._note(event)
                self.flush()
        except _GONE as error:
            for progress, message in self.open.values():
                message.ended = _ending(error)
                progress.dropped.set()
            raise
        except h2.exceptions.ProtocolError as error:
            raise AssertionError(f"the gateway broke HTTP/2: {error!r}") from error
        finally:
            for task in self.tasks:
                await _end(task, None)

    def _note(self, event):
        number = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.RequestReceived):
            progress = self.origin.find(dict(event.headers)[":path"])
            if progress is None:
                self.h2.reset_stream(number)
                return
            message = Message(head=True)
            progress.received.append(message)
            self.open[number] = progress, message
            if progress.exchange.talk and not progress.hold:
                self.h2.send_headers(number, [(":status", "200"), ("content-type", "application/grpc")])
        if number not in self.open:
            return
        progress, message = self.open[number]
        if isinstance(event, h2.events.DataReceived):
            message.body += event.data
            if progress.exchange.talk and not progress.hold:
                self.h2.send_data(number, event.data)
        elif isinstance(event, h2.events.TrailersReceived):
            message.trailers = tuple(tuple(field) for field in event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            message.whole = True
            progress.asked.set()
            if not progress.hold:
                self.tasks.append(asyncio.get_running_loop().create_task(self._answer(number, progress.exchange)))
        elif isinstance(event, h2.events.StreamReset):
            message.ended = str(int(event.error_code))
            del self.open[number]
            progress.dropped.set()

    async def _answer(self, number: int, exchange: Exchange):
        if not exchange.talk:
            fields = [(":status", "200")]
            if not exchange.chunked:
                fields.append(("content-length", str(len(exchange.answer))))
            self.h2.send_headers(number, fields)
            for piece in exchange.response:
                await self.send(number, piece)
        if exchange.response_trailers:
            self.h2.send_headers(number, exchange.response_trailers, end_stream=True)
        else:
            self.h2.end_stream(number)
        self.flush()
        self.open.pop(number, None)
