"""An HTTP/1.1 connection to the origin: one request at a time, kept between them."""

import asyncio
import re

from .terms import HEADER_BYTES, Failed, Request, Response

_STATUS = re.compile(r"HTTP/1\.1 (\d{3})(?: [^\r\n]*)?")
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")


class Connection:
    """What both protocols have in common: a reader that never rests, so that an end is seen when it
    comes, and the count of what the connection served."""

    name = ""

    def __init__(self, wire, times, source: str, on_end):
        self.wire, self.times, self.source = wire, times, source
        self.loop = asyncio.get_running_loop()
        self.served = 0
        self.told = False  # to send no more on it
        self.let_go = False  # by Cloudflare
        self.ended_at: float | None = None
        self.failure: Failed | None = None  # how it ended, if not by a close
        self.rested_since = self.loop.time()
        self._on_end = on_end
        self._reader = self.loop.create_task(self._read())

    @property
    def ended(self) -> bool:
        return self.ended_at is not None

    def busy(self) -> bool:
        raise NotImplementedError

    def room(self) -> bool:
        """Whether a request may begin."""
        raise NotImplementedError

    def take(self, data: bytes) -> None:
        raise NotImplementedError

    def finished(self) -> None:
        """No more will come."""
        raise NotImplementedError

    async def _read(self) -> None:
        try:
            while data := await self.wire.read():
                self.take(data)
        except Failed as failure:
            self.failure = failure
        idle = not self.busy()
        self.ended_at = self.loop.time()
        self.finished()
        self.wire.close()
        self._on_end(self, idle)

    def close(self) -> None:
        """By Cloudflare."""
        if not self.ended:
            self.ended_at = self.loop.time()
            self._reader.cancel()
            self._reader.add_done_callback(lambda _: self.wire.close())

    async def closed(self) -> None:
        await asyncio.wait([self._reader])
        await asyncio.sleep(0)
        await self.wire.closed()

    def gone(self) -> Failed:
        """The verdict on a request that was sent on a connection which had ended, or did so before a byte."""
        if self.served:
            return Failed(520, "closed_idle", self.failure or "closed")
        return self.failure or Failed(520, "empty")


class Http1(Connection):
    name = "http/1.1"

    def __init__(self, *arguments):
        self._busy = False
        self._bytes = bytearray()
        self._news = asyncio.Event()
        super().__init__(*arguments)

    def busy(self) -> bool:
        return self._busy

    def room(self) -> bool:
        return not self._busy and not self.told

    def take(self, data: bytes) -> None:
        self._bytes += data
        self.told = self.told or not self._busy
        self._news.set()

    def finished(self) -> None:
        self._news.set()

    async def exchange(self, request: Request) -> Response:
        self._busy = True
        if self.ended:
            raise self.gone()
        writer = self.loop.create_task(self.wire.write(self._head(request) + (request.body or b"")))
        writer.add_done_callback(lambda _: self._news.set())
        try:
            response = await self._response(request, writer)
            if response.status != 101:
                await self._written(writer)
            return response
        finally:
            writer.cancel()
            if not writer.cancelled() and writer.done():
                writer.exception()  # the response, or its absence, told it already
            self.served += 1

    def rest(self) -> None:
        """The exchange is over. Bytes that nobody asked for are the end of the connection's use."""
        self._busy = False
        self.told = self.told or bool(self._bytes)
        self.rested_since = self.loop.time()

    async def _written(self, writer) -> None:
        """An answer that came before the whole request leaves a connection on which nothing may follow."""
        if not writer.done():
            self.told = True
        elif writer.exception():
            self.told = True

    @staticmethod
    def _head(request: Request) -> bytes:
        lines = [f"{request.method} {request.path} HTTP/1.1", f"Host: {request.authority}"]
        names = {name for name, _ in request.headers}
        if "connection" not in names:
            lines.append("Connection: Keep-Alive")
        if request.body is not None:
            lines.append(f"Content-Length: {len(request.body)}")
        lines += [f"{name.title()}: {value}" for name, value in request.headers]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"

    async def more(self, writer=None) -> None:
        """Waits for bytes, or the end of `writer`: 524 if nothing comes, 520 at the end."""
        self._news.clear()
        if self.ended:
            raise self.gone() if not self._bytes else Failed(520, "cut_off", self.failure or "closed")
        while True:
            try:
                async with asyncio.timeout(self.times.read):
                    await self._news.wait()
                    break
            except TimeoutError:
                if writer is None or writer.done():
                    self.told = True
                    raise Failed(524, "read_timeout") from None

    async def _response(self, request: Request, writer) -> Response:
        while True:
            response = await self._read_head(writer)
            if response.status >= 200 or response.status == 101:
                break
        if "close" in (response.header("connection") or "").lower():
            self.told = True
        if response.status != 101 and request.method != "HEAD" and response.status not in (204, 304):
            await self._read_body(response)
        return response

    async def _read_head(self, writer) -> Response:
        while b"\r\n\r\n" not in self._bytes:
            if len(self._bytes) > HEADER_BYTES:
                raise Failed(520, "headers_too_large", len(self._bytes))
            await self.more(writer)
            if writer.done() and not writer.cancelled() and isinstance(writer.exception(), Failed):
                if writer.exception().code == 524:
                    raise writer.exception()
        head, _, rest = bytes(self._bytes).partition(b"\r\n\r\n")
        if len(head) > HEADER_BYTES:
            raise Failed(520, "headers_too_large", len(head))
        self._bytes[:] = rest
        first, *lines = head.decode("latin-1").split("\r\n")
        status, fields = _STATUS.fullmatch(first), [_FIELD.fullmatch(line) for line in lines]
        if not status or not all(fields):
            raise Failed(520, "malformed", first[:100])
        return Response(int(status[1]), [(field[1].lower(), field[2]) for field in fields])

    async def _read_body(self, response: Response) -> None:
        length = response.header("content-length")
        if response.header("transfer-encoding"):
            await self._read_chunks(response)
        elif length is not None:
            response.body += await self._exactly(int(length))
        else:  # to the end of the connection
            self.told = True
            while not self.ended:
                await self.more()
            if self.failure:
                raise Failed(520, "cut_off", self.failure)
            response.body += self._bytes
            self._bytes.clear()

    async def _exactly(self, count: int) -> bytes:
        while len(self._bytes) < count:
            await self._more_body()
        taken = bytes(self._bytes[:count])
        del self._bytes[:count]
        return taken

    async def _line(self) -> bytes:
        while b"\r\n" not in self._bytes:
            await self._more_body()
        line, _, rest = bytes(self._bytes).partition(b"\r\n")
        self._bytes[:] = rest
        return line

    async def _more_body(self) -> None:
        try:
            await self.more()
        except Failed as failure:
            raise failure if failure.code == 524 else Failed(520, "cut_off", failure) from None

    async def _read_chunks(self, response: Response) -> None:
        while True:
            line = await self._line()
            if not re.fullmatch(rb"[0-9a-fA-F]{1,8}", line):
                raise Failed(520, "malformed", line[:40])
            size = int(line, 16)
            if size == 0:
                break
            response.body += await self._exactly(size)
            if await self._exactly(2) != b"\r\n":
                raise Failed(520, "malformed", "chunk")
        while line := await self._line():
            name, _, value = line.decode("latin-1").partition(":")
            response.trailers.append((name.lower(), value.strip()))

    # ---- after 101: bytes both ways ----

    async def receive(self) -> bytes:
        """What came; nothing at the end."""
        while not self._bytes:
            if self.ended:
                return b""
            self._news.clear()
            await self._news.wait()
        taken = bytes(self._bytes)
        self._bytes.clear()
        return taken
