"""Origins that record every byte and every request that reaches them, and answer 200 to all."""

import dataclasses
import re
import socket
import threading

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from harness.scripted import ScriptedOrigin, ok


@dataclasses.dataclass
class Seen:
    """A request as an origin read it."""

    method: str
    target: str
    authority: str | None
    fields: list[tuple[str, str]]  # names as they came (HTTP/2: without the pseudo fields)
    body: bytes = b""
    trailers: list[tuple[str, str]] = dataclasses.field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """The values of a field, in order."""
        return [value for key, value in self.fields if key.lower() == name]


def _fields(lines: list[bytes]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.strip(b" \t").decode("latin-1"))
            for name, _, value in (line.partition(b":") for line in lines)]  # fmt: skip


class RecordingOrigin(ScriptedOrigin):
    """HTTP/1.1. `answer(seen)` gives the bytes of a response; a test may set another."""

    def __init__(self):
        self.seen: list[Seen] = []
        self.raw = bytearray()  # of all connections, as it came
        self.answer = lambda seen: ok()
        super().__init__(None)

    def forget(self):
        with self._lock:
            self.seen, self.raw = [], bytearray()
        self.answer = lambda seen: ok()

    def _serve(self, connection):
        try:
            with connection:
                reader = _Reader(connection, self.raw_append)
                while seen := reader.request():
                    with self._lock:
                        self.seen.append(seen)
                    connection.sendall(self.answer(seen))
        except OSError:
            pass

    def raw_append(self, data: bytes):
        with self._lock:
            self.raw += data


class _Reader:
    def __init__(self, connection, tell):
        self._connection, self._tell, self._data = connection, tell, b""

    def _more(self) -> bool:
        data = self._connection.recv(65536)
        self._tell(data)
        self._data += data
        return bool(data)

    def _until(self, mark: bytes) -> bytes | None:
        while mark not in self._data:
            if not self._more():
                return None
        found, self._data = self._data.split(mark, 1)
        return found

    def _take(self, count: int) -> bytes:
        while len(self._data) < count:
            if not self._more():
                return b""
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def request(self) -> Seen | None:
        head = self._until(b"\r\n\r\n")
        if head is None:
            return None
        first, *lines = head.split(b"\r\n")
        method, target, *_ = first.decode("latin-1").split(" ") + ["", ""]
        seen = Seen(method, target, None, _fields(lines))
        seen.authority = (seen.all("host") or [None])[0]
        if any("chunked" in value.lower() for value in seen.all("transfer-encoding")):
            self._chunks(seen)
        elif length := seen.all("content-length"):
            seen.body = self._take(int(length[0]))
        return seen

    def _chunks(self, seen: Seen):
        while size := self._until(b"\r\n"):
            count = int(re.match(rb"[0-9a-fA-F]*", size).group() or b"0", 16)
            if count == 0:
                break
            seen.body += self._take(count + 2)[:-2]
        lines = []
        while line := self._until(b"\r\n"):
            lines.append(line)
        seen.trailers = _fields(lines)


class RecordingH2Origin:
    """The same over HTTP/2 in clear text."""

    def __init__(self):
        self.seen: list[Seen] = []
        self.connections = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return "127.0.0.1:%d" % self._listener.getsockname()[1]

    def forget(self):
        with self._lock:
            self.seen = []

    def close(self):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        configuration = h2.config.H2Configuration(client_side=False, header_encoding="latin-1",
                                                  validate_inbound_headers=False)  # fmt: skip
        engine = h2.connection.H2Connection(configuration)
        engine.initiate_connection()
        streams: dict[int, Seen] = {}
        try:
            with connection:
                connection.sendall(engine.data_to_send())
                while data := connection.recv(65536):
                    for event in engine.receive_data(data):
                        self._note(engine, streams, event)
                    connection.sendall(engine.data_to_send())
        except (OSError, h2.exceptions.ProtocolError):
            pass

    def _note(self, engine, streams, event):
        if isinstance(event, h2.events.RequestReceived):
            fields = [tuple(field) for field in event.headers]
            pseudo = {name: value for name, value in fields if name.startswith(":")}
            streams[event.stream_id] = Seen(pseudo.get(":method", ""), pseudo.get(":path", ""), pseudo.get(":authority"),
                                            [field for field in fields if not field[0].startswith(":")])  # fmt: skip
        elif isinstance(event, h2.events.DataReceived):
            streams[event.stream_id].body += event.data
            engine.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            streams[event.stream_id].trailers = [tuple(field) for field in event.headers]
        elif isinstance(event, h2.events.StreamEnded):
            with self._lock:
                self.seen.append(streams.pop(event.stream_id))
            engine.send_headers(event.stream_id, [(":status", "200"), ("content-length", "2")])
            engine.send_data(event.stream_id, b"ok", end_stream=True)
