"""An HTTP/2 connection to the origin, over python3-h2: up to 200 streams at once, fewer if the
origin's SETTINGS say so. Cloudflare sends no PINGs by default."""

import asyncio

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from .http1 import Connection
from .terms import HEADER_BYTES, STREAMS, Failed, Request, Response, Unprocessed

UNTIL_SETTINGS = 100  # streams, before the origin has said how many it takes (RFC 9113 §6.5.2)
WINDOW = 256 * 1024
_GOAWAY = 7


class _Stream:
    def __init__(self):
        self.response = Response()
        self.ended = False
        self.failure: Exception | None = None
        self.news = asyncio.Event()

    def fail(self, failure: Exception) -> None:
        if not self.ended:
            self.failure = self.failure or failure
            self.news.set()


class Http2(Connection):
    name = "h2"

    def __init__(self, *arguments):
        self._streams: dict[int, _Stream] = {}
        self._frames = b""
        self._flushing = False
        self._most = UNTIL_SETTINGS
        configuration = h2.config.H2Configuration(client_side=True, header_encoding="latin-1",
                                                  validate_outbound_headers=False,
                                                  normalize_outbound_headers=False)  # fmt: skip
        self._h2 = h2.connection.H2Connection(configuration)
        self._h2.local_settings = h2.settings.Settings(client=True, initial_values={
            h2.settings.SettingCodes.ENABLE_PUSH: 0,
            h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW,
            h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 4 * HEADER_BYTES,  # judged by us, not by the library
        })  # fmt: skip
        self._h2.decoder.max_header_list_size = 4 * HEADER_BYTES
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(16 * WINDOW)
        self.most_at_once = 0
        super().__init__(*arguments)
        self._flush_soon()

    def busy(self) -> bool:
        return bool(self._streams)

    def room(self) -> bool:
        return not self.told and len(self._streams) < min(self._most, STREAMS)

    # ---- in ----

    def take(self, data: bytes) -> None:
        try:
            for event in self._h2.receive_data(self._without_goaway(data)):
                self._note(event)
        except h2.exceptions.ProtocolError as error:
            raise Failed(520, "broken_h2", repr(error)) from None
        self._flush_soon()

    def finished(self) -> None:
        for stream in self._streams.values():
            began = stream.response.status != 0
            stream.fail(Failed(520, "cut_off", self.failure or "closed") if began else self.gone())

    def gone(self) -> Failed:
        """Streams of a connection that served others before are no proof that it was idle."""
        if self.served and len(self._streams) <= 1:
            return Failed(520, "closed_idle", self.failure or "closed")
        return self.failure or Failed(520, "empty")

    def _without_goaway(self, data: bytes) -> bytes:
        """Whole frames for the library, which would take nothing more after a GOAWAY, though streams
        go on after a graceful one."""
        self._frames += data
        passed = b""
        while len(self._frames) >= 9:
            size = 9 + int.from_bytes(self._frames[:3], "big")
            if len(self._frames) < size:
                break
            frame, self._frames = self._frames[:size], self._frames[size:]
            if frame[3] == _GOAWAY:
                self._goaway(int.from_bytes(frame[9:13], "big"), int.from_bytes(frame[13:17], "big"))
            else:
                passed += frame
        return passed

    def _goaway(self, last: int, code: int) -> None:
        self.told = True
        for number, stream in self._streams.items():
            if number > last:
                stream.fail(Unprocessed("GOAWAY"))
            elif code != 0:
                stream.fail(Failed(520, "goaway", h2.errors.ErrorCodes(code).name))

    def _note(self, event) -> None:
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self._most = self._h2.remote_settings.max_concurrent_streams
        if isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
            for stream in self._streams.values():
                stream.news.set()
        stream = self._streams.get(getattr(event, "stream_id", 0) or 0)
        if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if stream is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            self._head(stream, event.headers)
        elif isinstance(event, h2.events.DataReceived):
            stream.response.body += event.data
        elif isinstance(event, h2.events.TrailersReceived):
            stream.response.trailers = [tuple(field) for field in event.headers]
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
        elif isinstance(event, h2.events.StreamReset):
            self._reset(stream, int(event.error_code))
        stream.news.set()

    @staticmethod
    def _head(stream: _Stream, headers) -> None:
        fields = [tuple(field) for field in headers]
        size = sum(len(name) + len(value) for name, value in fields)
        if size > HEADER_BYTES:
            stream.failure = Failed(520, "headers_too_large", size)
        stream.response.status = int(dict(fields)[":status"])
        stream.response.headers = [field for field in fields if not field[0].startswith(":")]

    @staticmethod
    def _reset(stream: _Stream, code: int) -> None:
        if code == h2.errors.ErrorCodes.REFUSED_STREAM:
            stream.fail(Unprocessed("REFUSED_STREAM"))
        else:
            stream.fail(Failed(520, "cut_off" if stream.response.status else "stream_reset", code))

    # ---- out ----

    async def exchange(self, request: Request) -> Response:
        """Begins before it first waits: who found room() may rely on it."""
        if self.ended:
            raise self.gone()
        number = self._h2.get_next_available_stream_id()
        fields = [(":method", request.method), (":scheme", "https"), (":path", request.path),
                  (":authority", request.authority), *request.headers]  # fmt: skip
        if request.body is not None and "content-type" not in dict(request.headers):
            fields.append(("content-length", str(len(request.body))))
        stream = self._streams[number] = _Stream()
        self.most_at_once = max(self.most_at_once, len(self._streams))
        self._h2.send_headers(number, fields, end_stream=request.body is None)
        self._flush_soon()
        try:
            if request.body is not None:
                await self._send(number, stream, request.body)
            await self._until(stream, lambda: stream.ended, Failed(524, "read_timeout"), self.times.read)
            return stream.response
        except Failed:
            self._cancel(number)
            raise
        finally:
            del self._streams[number]
            self.served += 1

    def rest(self) -> None:
        if not self._streams:
            self.rested_since = self.loop.time()

    async def _until(self, stream: _Stream, condition, late: Failed, patience: float) -> None:
        """Any news of the stream begins the wait anew."""
        while True:
            if stream.failure:
                raise stream.failure
            if condition():
                return
            stream.news.clear()
            try:
                async with asyncio.timeout(patience):
                    await stream.news.wait()
            except TimeoutError:
                raise late from None

    async def _send(self, number: int, stream: _Stream, body: bytes) -> None:
        def room():
            return min(self._h2.local_flow_control_window(number), self._h2.max_outbound_frame_size)

        view = memoryview(body)
        while view and not stream.ended:
            await self._until(stream, lambda: stream.ended or room() > 0, Failed(524, "write_stalled"),
                              self.times.write)  # fmt: skip
            if stream.ended:
                return  # an early answer: the rest is not wanted
            size = room()
            self._h2.send_data(number, bytes(view[:size]))
            view = view[size:]
            await self._flush()
        if not stream.ended and stream.failure is None:
            self._h2.end_stream(number)
            await self._flush()

    def _cancel(self, number: int) -> None:
        try:
            self._h2.reset_stream(number, h2.errors.ErrorCodes.CANCEL)
            self._flush_soon()
        except h2.exceptions.ProtocolError:
            pass  # it is over already

    async def _flush(self) -> None:
        if data := self._h2.data_to_send():
            await self.wire.write(data)

    def _flush_soon(self) -> None:
        """What several events give leaves in one write."""
        if not self._flushing and not self.ended:
            self._flushing = True
            self._flusher = self.loop.create_task(self._flush_now())  # the loop itself does not hold it

    async def _flush_now(self) -> None:
        self._flushing = False
        try:
            await self._flush()
        except Failed as failure:
            self.failure = self.failure or failure
            for stream in self._streams.values():
                stream.fail(failure)
