"""A TCP relay that stands between two peers and, at a given byte of one direction, does to the
wire what networks do: cuts it into slices, holds it back, resets it, ends one half, goes silent.

It lives in the test's event loop. One Relay is one address; each connection to it becomes a Link
of two Flows, "up" (away from whoever connected) and "down". What a flow let pass is kept, so that
a test can tell from the bytes themselves in which phase the wire broke.
"""

import asyncio
import dataclasses
import socket
import struct
from typing import Awaitable, Callable

DELAY = 0.02  # s; far below any timeout of the tests
RECEIVE_BUFFER = 64 * 1024  # of each connection, which the kernel doubles
_SLICES_A_TURN = 64  # each a segment of its own; more turns would only be slower
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends RST and drops what is unsent


def tls_records(data: bytes) -> list[int]:
    """Where each record begins whose header is known to be at hand, and where the next one will."""
    borders = [0]
    while len(data) >= borders[-1] + 5:
        borders.append(borders[-1] + 5 + int.from_bytes(data[borders[-1] + 3 : borders[-1] + 5], "big"))
    return borders


@dataclasses.dataclass(frozen=True)
class Byte:
    """The strike falls upon this byte: all before it pass."""

    offset: int

    def reach(self, seen: bytes) -> tuple[int, bool]:
        """How many bytes may pass by what is known, and whether the strike falls behind them."""
        return self.offset, True

    def __str__(self):
        return f"byte {self.offset}"


@dataclasses.dataclass(frozen=True)
class Record:
    """Likewise at a TLS record's border: 0 is its first byte, 1 the one behind, -1 its last."""

    index: int
    delta: int

    def reach(self, seen: bytes) -> tuple[int, bool]:
        borders = tls_records(seen)
        if self.delta >= 0:
            known = len(borders) > self.index
            return (borders[self.index] + self.delta if known else borders[-1]), known
        known = len(borders) > self.index + 1
        return (borders[self.index + 1] + self.delta if known else borders[-1]), known

    def __str__(self):
        return f"record {self.index}{self.delta:+d}"


@dataclasses.dataclass
class Strike:
    """`fault`: slice (all in pieces of `size`), delay, reset (RST to both), half (FIN, and nothing
    more this way), stall (nothing more this way). `spot` None: when the test calls Link.strike().
    `gate` is awaited before the blow, so that the other side is known to have seen what passed."""

    fault: str
    direction: str = "up"
    spot: Byte | Record | None = None
    size: int = 0
    gate: Callable[["Flow"], Awaitable] | None = None


class _Side(asyncio.Protocol):
    """One of the two connections of a link: what it reads goes into `flow`."""

    def __init__(self, link: "Link", flow: "Flow"):
        self.link, self.flow = link, flow
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport):
        self.transport = transport
        own = transport.get_extra_info("socket")
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Otherwise it grows by use, and what is stalled may find room for all the rest in it.
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self.link.made(self)

    def data_received(self, data):
        self.flow.feed(data)

    def eof_received(self):
        self.flow.feed_eof()
        return True  # the other half goes on

    def connection_lost(self, exc):
        self.link.lost(self, exc is not None)

    def pause_writing(self):
        self.link.other(self).hold(True)

    def resume_writing(self):
        self.link.other(self).hold(False)

    def hold(self, on: bool):
        if self.transport is None or self.transport.is_closing() or self.flow.silent:
            return
        if on:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()


class Flow:
    """One direction of a link."""

    def __init__(self, link: "Link", strike: Strike | None):
        self.link, self.strike = link, strike
        self.passed = bytearray()
        self.begun = 0  # bytes that had passed when the strike was set
        self.struck = False
        self.silent = False  # nothing passes any more
        self.ended = False  # … and the sink was told
        self.sink: _Side | None = None
        self.source: _Side | None = None
        self._pending = bytearray()
        self._eof = False
        self._busy = False

    @property
    def message(self) -> bytes:
        """What passed since the strike was set."""
        return bytes(self.passed[self.begun :])

    def feed(self, data: bytes):
        if self.silent:
            return
        self._pending += data
        self.run()

    def feed_eof(self):
        self._eof = True
        if not self._busy:
            self.run()
        self.link.finish_if_over()

    def run(self):
        if self._busy or self.silent or self.sink is None or self.sink.transport is None:
            return
        if self.strike and self.strike.fault == "slice":
            self._busy = True
            self.link.spawn(self._slices())
            return
        count = len(self._pending)
        if self.strike and not self.struck and self.strike.spot:
            message = self.message
            reach, exact = self.strike.spot.reach(message + self._pending)
            count = min(count, reach - len(message))
            if exact and len(self._pending) > count:
                self._pass(count)
                self._busy = True
                self.link.spawn(self.blow())
                return
        self._pass(count)
        if self._eof and not self._pending:
            self._end()

    def _pass(self, count: int):
        if count > 0 and not self.sink.transport.is_closing():
            piece = bytes(self._pending[:count])
            del self._pending[:count]
            self.passed += piece
            self.sink.transport.write(piece)

    def _end(self):
        self.silent = self.ended = True
        transport = self.sink.transport
        if not transport.is_closing() and transport.can_write_eof():
            transport.write_eof()
        self.link.finish_if_over()

    @property
    def over(self) -> bool:
        """Both ends of it know: until then what still comes is read, as half-closed sockets do."""
        return self.ended and self._eof

    async def _slices(self):
        self.struck = True
        while self._pending:
            for _ in range(_SLICES_A_TURN):
                self._pass(self.strike.size)
            await asyncio.sleep(0)
        self._busy = False
        if self._eof:
            self._end()

    async def blow(self):
        if self.strike.gate:
            await self.strike.gate(self)
        self.struck = True
        match self.strike.fault:
            case "delay":
                await asyncio.sleep(DELAY)
                self._busy = False
                self.run()
                return
            case "reset":
                self.link.reset()
            case "half":
                self._end()
            case "stall":
                self.silent = True
                if self.source.transport:
                    self.source.transport.pause_reading()
        self.link.broken.set()


class Link:
    """A connection and its continuation."""

    def __init__(self, relay: "Relay", strike: Strike | None):
        self.relay, self.strike = relay, strike
        self.up = Flow(self, strike if strike and strike.direction == "up" else None)
        self.down = Flow(self, strike if strike and strike.direction == "down" else None)
        self.near, self.far = _Side(self, self.up), _Side(self, self.down)
        self.up.source, self.up.sink = self.near, self.far
        self.down.source, self.down.sink = self.far, self.near
        self.broken = asyncio.Event()
        self.over = asyncio.Event()
        self._lost = 0
        self._tasks: list[asyncio.Task] = []

    @property
    def struck(self) -> Flow | None:
        return next((flow for flow in (self.up, self.down) if flow.struck), None)

    def spawn(self, work):
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    def arm(self, strike: Strike):
        """For what is still to pass, on a connection that has served already."""
        self.strike = strike
        flow = self.up if strike.direction == "up" else self.down
        flow.strike, flow.begun = strike, len(flow.passed)

    def strike_now(self):
        """For a strike without a spot."""
        flow = self.up if self.strike.direction == "up" else self.down
        self.spawn(flow.blow())

    def other(self, side: _Side) -> _Side:
        return self.far if side is self.near else self.near

    def made(self, side: _Side):
        if side is self.near:
            self.spawn(self._continue())
        else:
            self.up.run()

    async def _continue(self):
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.far, *self.relay.target)
        except OSError:
            self.reset()

    def lost(self, side: _Side, hard: bool):
        self._lost += 1
        other = self.other(side).transport
        if hard:
            self._abort(other)
        elif other and not other.is_closing():
            # Both halves were ended, or the other side is to be told that nobody listens any more.
            other.close()
        if self._lost == 2 or other is None:
            self.over.set()

    def finish_if_over(self):
        if not (self.up.over and self.down.over):
            return
        for side in (self.near, self.far):
            if side.transport and not side.transport.is_closing():
                side.transport.close()

    @staticmethod
    def _abort(transport):
        if transport and not transport.is_closing():
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            transport.abort()

    def reset(self):
        for side in (self.near, self.far):
            self._abort(side.transport)

    def close(self):
        self.reset()
        for task in self._tasks:
            task.cancel()


class Relay:
    """Listens on 127.0.0.1, goes on to `target`. `strike` is for each next connection."""

    def __init__(self, target: tuple[str, int]):
        self.target = target
        self.strike: Strike | None = None
        self.links: list[Link] = []
        self.port = 0
        self._server = None

    async def start(self) -> "Relay":
        self._server = await asyncio.get_running_loop().create_server(self._link, "127.0.0.1", 0, backlog=128)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def _link(self) -> _Side:
        link = Link(self, self.strike)
        self.links.append(link)
        return link.near

    def clear(self):
        """Ends what is left of the last case."""
        for link in self.links:
            link.close()
        self.links.clear()
        self.strike = None

    async def close(self):
        self.clear()
        self._server.close()
        await self._server.wait_closed()
