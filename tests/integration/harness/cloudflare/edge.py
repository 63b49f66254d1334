"""Cloudflare's pools of connections to one origin, and what visitors make it ask for."""

import asyncio
import collections
import random
import struct

from . import websocket
from .http1 import Connection, Http1
from .http2 import Http2
from .terms import Closing, Failed, Outcome, Request, Times, Unprocessed, Visit
from .wire import SEGMENT, Wire, client_context, connected

RESENT = 3  # times, what the origin had not begun with


class Edge:
    """`addresses` are its own, from which it connects to `target` (address, port); `client_certificate`
    is a certs.Leaf, for Authenticated Origin Pulls. Which of its addresses asks, what the visitor is
    and whether a session is resumed follow from `seed`.

    Each address has its own pools, as Cloudflare's machines do: HTTP/2 connections shared by up to
    200 streams, HTTP/1.1 ones used by one request after the other, all kept until they were idle for
    times.idle."""

    def __init__(self, addresses, target: tuple[str, int], sni: str, ca, client_certificate=None,
                 times: Times = Times(), seed: int = 1):  # fmt: skip
        self.addresses, self.target, self.sni, self.times = list(addresses), target, sni, times
        self.random = random.Random(seed)
        self.outcomes: list[Outcome] = []
        self.closings: list[Closing] = []
        self.opened = collections.Counter()  # handshakes: all, resumed, long hellos; by protocol
        self.told = 0  # connections that the origin asked to leave
        self.most_streams = 0
        self._pools: dict[tuple[str, str], list[Connection]] = {}
        self._opening: dict[tuple[str, str], asyncio.Future] = {}
        self._sessions: dict[object, object] = {}
        self._contexts = {
            (http, long): client_context(ca, ("h2", "http/1.1") if http == "h2" else (http,), client_certificate, long)
            for http in ("h2", "http/1.1")
            for long in (False, True)
        }

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.rest()

    async def rest(self) -> None:
        """Closes what is in the pools."""
        kept = [connection for pool in self._pools.values() for connection in pool]
        self._pools.clear()
        for connection in kept:
            connection.close()
        await asyncio.gather(*(connection.closed() for connection in kept))

    def turn_to(self, target: tuple[str, int]) -> None:
        """Another origin from now on, as a load balancer does it. HTTP/2 connections to the old one go on
        until it says GOAWAY. HTTP/1.1 ones are not used again: an origin cannot take one back without
        crossing a request (RFC 9112 §9.3.1)."""
        self.target = target
        for pool in self._pools.values():
            for connection in pool:
                connection.told = connection.told or connection.name != "h2"

    def failures(self) -> list[Outcome]:
        """What visitors were shown pages of Cloudflare's own for."""
        return [outcome for outcome in self.outcomes if outcome.code]

    def pages(self) -> collections.Counter:
        return collections.Counter((outcome.code, outcome.cause) for outcome in self.failures())

    # ---- what visitors ask for ----

    async def request(self, method: str = "GET", path: str = "/", body: bytes | None = None, http: str = "h2",
                      source: str | None = None, headers=()) -> Outcome:  # fmt: skip
        """http: "h2" (the origin's choice of h2 and http/1.1) or "http/1.1"."""
        outcome, fields = self._begin(path, http, source)
        request = Request(method, path, self.sni, [*fields, *headers], body)
        try:
            await self._serve(outcome, request)
        except Failed as failure:
            outcome.code, outcome.cause, outcome.detail = failure.code, failure.cause, failure.detail
        self.outcomes.append(outcome)
        return outcome

    async def grpc(self, path: str, message: bytes, source: str | None = None) -> Outcome:
        """A unary call; the message that came back is the response's body without its five bytes of
        prefix, its grpc-status one of the response's headers or trailers."""
        return await self.request("POST", path, struct.pack(">BI", 0, len(message)) + message, "h2", source,
                                  (("content-type", "application/grpc"), ("te", "trailers")))  # fmt: skip

    async def websocket(self, path: str, echoes: int, pause: float = 0.0, source: str | None = None) -> Outcome:
        """Opened over HTTP/1.1, so many messages that must come back, and the close."""
        outcome, fields = self._begin(path, "http/1.1", source)
        connection = None
        try:
            connection, outcome.reused = await self._lease(outcome.source, outcome.http)
            outcome.response = await connection.exchange(websocket.upgrade(path, self.sni, fields))
            outcome.status = outcome.response.status
            if outcome.status == 101:
                socket = websocket.Socket(connection)
                for number in range(echoes):
                    await socket.echo(f"message {number}".encode())
                    await asyncio.sleep(pause)
                await socket.close()
        except Failed as failure:
            outcome.code, outcome.cause, outcome.detail = failure.code, failure.cause, failure.detail
        if connection is not None:
            self._drop(connection)
            connection.close()
        self.outcomes.append(outcome)
        return outcome

    def _begin(self, path: str, http: str, source: str | None):
        visit = Visit.drawn(self.random)
        source = source or self.random.choice(self.addresses)
        return Outcome(visit.ray, visit.visitor, source, http, path), visit.headers()

    async def _serve(self, outcome: Outcome, request: Request) -> None:
        while True:
            connection, outcome.reused = await self._lease(outcome.source, outcome.http)
            try:
                outcome.response = await connection.exchange(request)
                outcome.status = outcome.response.status
                return
            except Unprocessed:
                if outcome.resent == RESENT:
                    raise Failed(520, "never_begun") from None
                outcome.resent += 1
            except Failed:
                if connection.name != "h2":
                    connection.told = True  # what else is on it belongs to nobody
                raise
            finally:
                self._give_back(connection)

    # ---- the pools ----

    async def _lease(self, source: str, http: str) -> tuple[Connection, bool]:
        """A connection with room; the caller's exchange begins before anybody else can ask."""
        key = (source, http)
        while True:
            for connection in list(self._pools.get(key, ())):
                self._tire(connection, connection.rested_since)
                if not connection.let_go and connection.room():
                    return connection, connection.served > 0
            opening = self._opening.get(key)
            if opening is None or http != "h2":
                return await self._open(key), False
            await asyncio.wait([opening])  # shared, if it comes to be

    async def _open(self, key: tuple[str, str]) -> Connection:
        opening = self._opening[key] = asyncio.get_running_loop().create_future()
        try:
            connection = await self._connect(*key)
            self._pools.setdefault(key, []).append(connection)
            return connection
        finally:
            if self._opening.get(key) is opening:
                del self._opening[key]
            opening.set_result(None)

    async def _connect(self, source: str, http: str) -> Connection:
        long = self.random.random() < 0.5  # as the share of post-quantum hellos is raised step by step
        context = self._contexts[http, long]
        session = self._sessions.get((http, long)) if self.random.random() < 0.5 else None
        target = self.target
        tcp = await connected(target, source, self.times)
        try:
            wire = Wire(tcp, self.times, context, self.sni, session)
            await wire.shake(SEGMENT if long else self.random.randrange(1, 200), self.random.choice((0.0, 0.002)))
        except BaseException:
            tcp.close()
            raise
        self.opened["all"] += 1
        self.opened["resumed"] += wire.tls.session_reused
        self.opened["long hello"] += wire.hello_size > SEGMENT
        kind = Http2 if wire.tls.selected_alpn_protocol() == "h2" else Http1
        self.opened[kind.name] += 1
        connection = kind(wire, self.times, source, self._ended)
        connection.context_key = (http, long)
        return connection

    def _give_back(self, connection: Connection) -> None:
        connection.rest()
        session = connection.wire.tls.session
        if session is not None and session.has_ticket:
            self._sessions[connection.context_key] = session
        if isinstance(connection, Http2):
            self.most_streams = max(self.most_streams, connection.most_at_once)
        if connection.told:
            self._drop(connection)
            if not connection.busy():
                self.told += 1
                connection.close()
        elif not connection.busy():
            rested = connection.rested_since
            connection.loop.call_later(self.times.idle, self._tire, connection, rested)

    def _tire(self, connection: Connection, rested: float) -> None:
        """Lets go of one that has been idle for long enough."""
        age = connection.loop.time() - rested
        if connection.rested_since == rested and not connection.busy() and age > self.times.idle - 0.001:
            connection.let_go = True
            self._drop(connection)
            connection.close()

    def _drop(self, connection: Connection) -> None:
        for pool in self._pools.values():
            if connection in pool:
                pool.remove(connection)

    def _ended(self, connection: Connection, idle: bool) -> None:
        """By the origin. Of one that was idle Cloudflare hears after a while only."""
        if idle:
            for_ = connection.loop.time() - connection.rested_since
            self.closings.append(Closing(connection.name, connection.source, for_, connection.served, connection.told))
        if idle and not connection.told and self.times.notice:
            connection.loop.call_later(self.times.notice, self._drop, connection)
        else:
            self._drop(connection)
