"""HTTP/2 as octets (RFC 9113 §4, RFC 7541 §6): frames and field sections put together by hand, right
or wrong as the test wants them, and a peer that sends them as they are and tells what came back.

Field sections are made of literals without indexing: they are valid in any order and on any
connection, and what they carry is checked by nobody on this side.
"""

import dataclasses
import struct

import hpack
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
PRIORITY_UPDATE = 0x10
NONE, END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 0, 0x1, 0x1, 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 1, 2, 3, 4, 5
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CODES = ("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
         "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
         "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED")  # fmt: skip
MOST_WINDOW = 0x7FFFFFFF


# ---- frames --------------------------------------------------------------------------------


def frame(kind: int, flags: int = NONE, stream: int = 0, payload: bytes = b"", length: int | None = None) -> bytes:
    """`length` is for frames that say another one than they have."""
    size = len(payload) if length is None else length
    return struct.pack("!BHBBL", size >> 16, size & 0xFFFF, kind, flags, stream) + payload


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, NONE, 0, b"".join(struct.pack("!HL", *pair) for pair in pairs))


def data(stream: int, payload: bytes = b"", end: bool = False) -> bytes:
    return frame(DATA, END_STREAM if end else NONE, stream, payload)


def reset(stream: int, code: int = 8) -> bytes:
    return frame(RST_STREAM, NONE, stream, struct.pack("!L", code))


def window(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, NONE, stream, struct.pack("!L", increment))


def ping(payload: bytes = b"sallypor", flags: int = NONE) -> bytes:
    return frame(PING, flags, 0, payload)


def goaway(last: int = 0, code: int = 0) -> bytes:
    return frame(GOAWAY, NONE, 0, struct.pack("!LL", last, code))


def priority(depends_on: int = 0, weight: int = 16, exclusive: bool = False) -> bytes:
    """The five octets; in a PRIORITY frame, or in front of a HEADERS frame's field section."""
    return struct.pack("!LB", depends_on | (0x80000000 if exclusive else 0), weight - 1)


# ---- field sections ------------------------------------------------------------------------


def integer(value: int, prefix: int, first: int = 0) -> bytes:
    """RFC 7541 §5.1; `first` holds the bits in front of the prefix."""
    most = (1 << prefix) - 1
    if value < most:
        return bytes([first | value])
    out, value = [first | most], value - most
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def string(text: bytes, huffman: bool = False) -> bytes:
    if huffman:
        text = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(text)
    return integer(len(text), 7, 0x80 if huffman else 0) + text


def octets(text) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def fields(*pairs, first: int = 0x00, huffman: bool = False) -> bytes:
    """Literals with new names. `first`: 0x00 not indexed, 0x10 never indexed, 0x40 added to the table."""
    return b"".join(
        bytes([first]) + string(octets(name), huffman) + string(octets(value), huffman) for name, value in pairs
    )


def request_fields(path="/bytes/10", method="GET", authority="localhost", scheme="https") -> list[tuple]:
    """Those that are None are left out."""
    all_four = [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority)]
    return [pair for pair in all_four if pair[1] is not None]


def headers(stream: int, section: bytes, end: bool = True, flags: int = END_HEADERS) -> bytes:
    return frame(HEADERS, flags | (END_STREAM if end else NONE), stream, section)


def request(stream: int = 1, path="/bytes/10", *more, end: bool = True, **pseudo) -> bytes:
    """A whole request's head; `more` are fields behind the pseudo-fields."""
    return headers(stream, fields(*request_fields(path, **pseudo), *more), end)


# ---- a peer --------------------------------------------------------------------------------


@dataclasses.dataclass
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes

    def word(self, offset: int = 0) -> int:
        return int.from_bytes(self.payload[offset : offset + 4], "big")


def code_name(code: int) -> str:
    return CODES[code] if code < len(CODES) else hex(code)


class Peer:
    """On a connected socket, TLS or not; its timeout is the bound of every wait."""

    def __init__(self, connection, *own_settings: tuple[int, int], greet: bool = True):
        self.socket = connection
        self.closed = False
        self.heads: dict[int, list[tuple[str, str]]] = {}  # the last field section of each stream
        self.bodies: dict[int, bytearray] = {}
        self.seen: list[Frame] = []  # since the greeting
        self.sent = 0
        self._pending = bytearray()
        self._section = b""
        self._decoder = hpack.Decoder(max_header_list_size=1 << 20)
        if greet:
            self.greet(*own_settings)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def greet(self, *own_settings: tuple[int, int]) -> None:
        """Preface and SETTINGS, both ways; afterwards all of it is acknowledged."""
        self.send(PREFACE, settings(*own_settings))
        assert not self.next(SETTINGS).flags & ACK
        self.send(frame(SETTINGS, ACK))
        assert self.next(SETTINGS).flags & ACK
        self.seen.clear()

    def send(self, *parts: bytes) -> bool:
        """False if the other side takes nothing more."""
        octets_ = b"".join(parts)
        try:
            self.socket.sendall(octets_)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            return False
        self.sent += len(octets_)
        return True

    def read(self) -> Frame | None:
        """The next frame; none at the end, however it came."""
        head = self._take(9)
        if head is None:
            return None
        payload = self._take(int.from_bytes(head[:3], "big"))
        if payload is None:
            return None
        got = Frame(head[3], head[4], int.from_bytes(head[5:9], "big") & MOST_WINDOW, payload)
        self.seen.append(got)
        if got.kind in (HEADERS, CONTINUATION):
            self._section += payload
            if got.flags & END_HEADERS:
                self.heads[got.stream] = self._decoder.decode(self._section)
                self._section = b""
        elif got.kind == DATA:
            self.bodies.setdefault(got.stream, bytearray()).extend(payload)
        return got

    def _take(self, count: int) -> bytes | None:
        while len(self._pending) < count:
            try:
                more = self.socket.recv(65536)
            except (ConnectionResetError, BrokenPipeError):
                more = b""
            if not more:
                self.closed = True
                return None
            self._pending += more
        taken = bytes(self._pending[:count])
        del self._pending[:count]
        return taken

    def next(self, kind: int) -> Frame | None:
        """The next frame of a type; others are passed over."""
        while (got := self.read()) and got.kind != kind:
            pass
        return got

    def status(self, stream: int) -> str:
        return dict(self.heads.get(stream, {})).get(":status", "")

    def outcome(self, stream: int = 1, heads: bool = True) -> str:
        """What comes first: "200" (a final response's status), "RST_STREAM CODE" on this stream,
        "GOAWAY CODE" with an error, or "closed". Without `heads` responses are passed over."""
        while got := self.read():
            if got.kind == GOAWAY and got.word(4):
                return "GOAWAY " + code_name(got.word(4))
            if got.stream != stream:
                continue
            if got.kind == RST_STREAM:
                return "RST_STREAM " + code_name(got.word())
            status = self.status(stream) if got.kind in (HEADERS, CONTINUATION) else ""
            if heads and status and not status.startswith("1"):
                return status
        return "closed"

    def until_end(self, stream: int) -> str:
        """Reads to the end of a stream or of everything, giving all credit back; its last status."""
        while got := self.read():
            if got.kind == DATA and got.payload:
                self.send(window(0, len(got.payload)), window(stream, len(got.payload)))
            if got.stream == stream and (got.kind == RST_STREAM or got.flags & END_STREAM and got.kind in (DATA, HEADERS)):
                break
        return self.status(stream)

    def body(self, stream: int, count: int) -> int:
        """How much of a response's body has come once that many octets have, and the answer to a PING behind them."""
        while len(self.bodies.get(stream, b"")) < count and self.read():
            pass
        assert self.answers_ping()
        return len(self.bodies.get(stream, b""))

    def answers_ping(self, payload: bytes = b"liveness") -> bool:
        """Whether the connection is alive: everything in front of the answer has been dealt with."""
        self.send(ping(payload))
        while got := self.read():
            if got.kind == GOAWAY and got.word(4):
                return False
            if got.kind == PING and got.flags & ACK and got.payload == payload:
                return True
        return False

    def drain(self) -> None:
        """Reads to the end of the connection."""
        while self.read():
            pass
