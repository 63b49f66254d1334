"""An HTTP/2 client that does what the test says, frame by frame, over python3-h2."""

import dataclasses

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from .clients import Response


@dataclasses.dataclass
class Stream(Response):
    ended: bool = False
    reset: int | None = None  # the error code of RST_STREAM


class H2Client:
    """Over any connected socket, plain or TLS. With `auto_credit` received data is given back at
    once; without, the test calls credit()."""

    def __init__(self, connection, auto_credit: bool = True, settings: dict | None = None):
        self.socket = connection
        self.auto_credit = auto_credit
        configuration = h2.config.H2Configuration(client_side=True, header_encoding="latin-1",
                                                  validate_outbound_headers=False,
                                                  normalize_outbound_headers=False)  # fmt: skip
        self.h2 = h2.connection.H2Connection(configuration)
        self.h2.initiate_connection()
        if settings:
            self.h2.update_settings(settings)
        self.streams: dict[int, Stream] = {}
        self.goaways: list[tuple[int, int]] = []  # (last stream, error code), as they came
        self.closed = False
        self._received = b""
        self.flush()

    def flush(self) -> None:
        data = self.h2.data_to_send()
        if data:
            self.socket.sendall(data)

    def start(self, method: str = "GET", path: str = "/", authority: str = "localhost", headers=(),
              end: bool = True, scheme: str = "https", pseudo=()) -> int:  # fmt: skip
        """Sends a request's head; gives its stream's number. `pseudo`: more pseudo fields."""
        number = self.h2.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority)]
        self.h2.send_headers(number, [*fields, *pseudo, *headers], end_stream=end)
        self.streams[number] = Stream()
        self.flush()
        return number

    def send(self, number: int, data: bytes, end: bool = False) -> None:
        """Sends body bytes as the peer's windows allow, reading meanwhile."""
        view = memoryview(data)
        while view:
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
            if room == 0:
                self.receive()
                if self.closed or self.streams[number].reset is not None:
                    return
                continue
            self.h2.send_data(number, bytes(view[:room]))
            view = view[room:]
            self.flush()
        if end:
            self.h2.end_stream(number)
            self.flush()

    def trailers(self, number: int, fields) -> None:
        self.h2.send_headers(number, list(fields), end_stream=True)
        self.flush()

    def cancel(self, number: int, code: int = h2.errors.ErrorCodes.CANCEL) -> None:
        self.h2.reset_stream(number, code)
        self.flush()

    def credit(self, number: int, count: int) -> None:
        self.h2.acknowledge_received_data(count, number)
        self.flush()

    def raw(self, data: bytes) -> None:
        """Bytes past the library's state machine, e.g. a hyperframe frame's serialize()."""
        self.socket.sendall(data)

    def receive(self) -> list:
        """One read, and the events that it brought; `closed` is set at the end."""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            return []
        try:
            events = self.h2.receive_data(self._without_goaway(data))
        finally:
            self.flush()
        for event in events:
            self._note(event)
        self.flush()
        return events

    def _without_goaway(self, data: bytes) -> bytes:
        """Whole frames for the library, GOAWAY kept back: it would take nothing more after one,
        though a graceful GOAWAY lets the streams go on."""
        self._received += data
        passed = b""
        while len(self._received) >= 9:
            size = 9 + int.from_bytes(self._received[:3], "big")
            if len(self._received) < size:
                break
            frame, self._received = self._received[:size], self._received[size:]
            if frame[3] == 7:
                self.goaways.append((int.from_bytes(frame[9:13], "big"), int.from_bytes(frame[13:17], "big")))
            else:
                passed += frame
        return passed

    def wait(self, condition, what: str = "event") -> None:
        """Reads until the condition holds; the socket's timeout is the bound."""
        while not condition():
            assert not self.closed, f"the connection ended while waiting for: {what}"
            self.receive()

    def response(self, number: int) -> Stream:
        """The whole response of a stream, or what came before its reset."""
        stream = self.streams[number]
        self.wait(lambda: stream.ended or stream.reset is not None, f"the end of stream {number}")
        return stream

    def get(self, path: str, **more) -> Stream:
        return self.response(self.start("GET", path, **more))

    def post(self, path: str, data: bytes, **more) -> Stream:
        number = self.start("POST", path, end=False, **more)
        self.send(number, data, end=True)
        return self.response(number)

    def _note(self, event) -> None:
        stream = self.streams.get(getattr(event, "stream_id", 0) or 0)
        if stream is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            fields = [tuple(field) for field in event.headers]
            stream.status, stream.version = int(dict(fields)[":status"]), "HTTP/2"
            stream.headers = [field for field in fields if not field[0].startswith(":")]
        elif isinstance(event, h2.events.InformationalResponseReceived):
            fields = [tuple(field) for field in event.headers]
            stream.interim.append((int(dict(fields)[":status"]), fields[1:]))
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data
            if self.auto_credit and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = [tuple(field) for field in event.headers]
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.reset = int(event.error_code)
