"""Origins that answer a path with exactly the bytes that a test gives, right or wrong, over
HTTP/1.1 and over HTTP/2 in clear text.

    script = origin.on(path, piece, piece…, end=HOLD)

A piece is bytes, for HTTP/2 a function of the stream's number that gives frames. The second and
later pieces wait for script.go; script.dropped is set once the gateway has let go of the exchange:
its connection ended, or over HTTP/2 its stream was reset.
"""

import dataclasses
import re
import socket
import struct
import threading

import hpack

PATIENCE = 20.0
PREFACE = 24  # bytes of an HTTP/2 client's

HOLD = "nothing more comes"  # and no further request is answered on an HTTP/1.1 connection
KEEP = "the next request is served"
FIN = "the origin closes"
RST = "the origin resets the connection"


@dataclasses.dataclass
class Script:
    pieces: tuple
    end: str
    go: threading.Event = dataclasses.field(default_factory=threading.Event)
    dropped: threading.Event = dataclasses.field(default_factory=threading.Event)


class _Origin:
    def __init__(self):
        self._scripts: dict[str, Script] = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.last: socket.socket | None = None  # the newest connection
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return "127.0.0.1:%d" % self._listener.getsockname()[1]

    def on(self, path: str, *pieces, end: str = HOLD) -> Script:
        self._scripts[path] = Script(pieces, end)
        return self._scripts[path]

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(PATIENCE)
            self.last = connection
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        served = []
        try:
            with connection:
                self._serve(connection, served)
        except OSError:
            pass
        for script in served:
            script.dropped.set()

    def _play(self, connection, script: Script, *stream):
        for number, piece in enumerate(script.pieces):
            if number and not script.go.wait(PATIENCE):
                return
            connection.sendall(piece(*stream) if stream else piece)
        if script.end == FIN:
            connection.shutdown(socket.SHUT_WR)
        elif script.end == RST:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise ConnectionAbortedError  # it closes on the way out


class BadOrigin(_Origin):
    """HTTP/1.1; requests have no bodies."""

    def _serve(self, connection, served):
        while True:
            data = b""
            while not data.endswith(b"\r\n\r\n"):
                more = connection.recv(65536)
                if not more:
                    return
                data += more
            script = self._scripts[re.match(rb"[A-Z]+ (\S+)", data)[1].decode()]
            served.append(script)
            self._play(connection, script)
            if script.end != KEEP:
                while connection.recv(65536):
                    pass
                return


# ---- HTTP/2 by hand ----


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _text(text: str) -> bytes:
    data, length = text.encode("latin-1"), len(text)
    if length < 127:
        return bytes((length,)) + data
    size, rest = b"\x7f", length - 127
    while rest >= 128:
        size, rest = size + bytes((rest % 128 + 128,)), rest // 128
    return size + bytes((rest,)) + data


def headers(stream: int, *fields: tuple[str, str], end: bool = False) -> bytes:
    """HEADERS, with CONTINUATION where it needs it; every field a literal that nothing checks."""
    block = b"".join(b"\0" + _text(name) + _text(value) for name, value in fields)
    parts = [block[at : at + 16384] for at in range(0, len(block), 16384)] or [b""]
    frames = b""
    for number, part in enumerate(parts):
        last = 4 if number == len(parts) - 1 else 0
        frames += frame(1, last | end, stream, part) if number == 0 else frame(9, last, stream, part)
    return frames


def data(stream: int, payload: bytes, end: bool = False) -> bytes:
    return frame(0, int(end), stream, payload)


def reset(stream: int, code: int) -> bytes:
    return frame(3, 0, stream, code.to_bytes(4, "big"))


class BadH2Origin(_Origin):
    """HTTP/2 by prior knowledge. A connection goes on until one side ends it."""

    def _serve(self, connection, served):
        streams: dict[int, Script] = {}
        decoder = hpack.Decoder()
        connection.sendall(frame(4, 0, 0))
        reader = connection.makefile("rb")
        if len(reader.read(PREFACE)) < PREFACE:
            return
        while len(head := reader.read(9)) == 9:
            payload = reader.read(int.from_bytes(head[:3], "big"))
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
            if kind == 1:
                path = dict(decoder.decode(payload))[":path"]
                streams[stream] = self._scripts[path]
                served.append(streams[stream])
                self._play(connection, streams[stream], stream)
            elif kind == 3 and stream in streams:
                streams[stream].dropped.set()
            elif kind in (4, 6) and not flags & 1:
                connection.sendall(frame(kind, 1, 0, payload if kind == 6 else b""))
