"""A ClientHello as Cloudflare's BoringSSL sends it with a post-quantum key share, made by hand, and
the origin's first answer to it. Its keys are thrown away: it goes as far as the ServerHello."""

import dataclasses
import random
import struct

from ..handshake import HANDSHAKE, records

X25519MLKEM768, X25519 = 0x11EC, 0x001D
GROUPS = (X25519MLKEM768, X25519, 0x0017, 0x0018)
SUITES = (0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F, 0xC013, 0x009C, 0x002F, 0xC02C, 0xC030, 0xC028, 0x009D, 0x0035)
SIGNATURES = (0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601)
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")  # RFC 8446 §4.1.3
_Q = 3329  # of ML-KEM


@dataclasses.dataclass(frozen=True)
class ServerHello:
    group: int
    version: int
    retry: bool


def _vector(size: int, data: bytes) -> bytes:
    return len(data).to_bytes(size, "big") + data


def _words(values) -> bytes:
    return struct.pack(f">{len(values)}H", *values)


def _extension(number: int, data: bytes) -> bytes:
    return struct.pack(">H", number) + _vector(2, data)


def hybrid_share(drawn: random.Random) -> bytes:
    """1216 bytes: an ML-KEM-768 key that passes its check (coefficients below q, FIPS 203 §7.2), then one
    of X25519."""
    bits = "".join(f"{drawn.randrange(_Q):012b}"[::-1] for _ in range(3 * 256))  # the lowest bit first
    encoded = bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))
    return encoded + drawn.randbytes(32) + drawn.randbytes(32)


def post_quantum_hello(sni: str, drawn: random.Random, alpn=("h2", "http/1.1")) -> bytes:
    """In its record; about 1.5 KiB."""
    shares = _words([X25519MLKEM768]) + _vector(2, hybrid_share(drawn))
    shares += _words([X25519]) + _vector(2, drawn.randbytes(32))
    extensions = b"".join(
        _extension(number, data)
        for number, data in (
            (0, _vector(2, b"\x00" + _vector(2, sni.encode()))),
            (23, b""),
            (0xFF01, b"\x00"),
            (10, _vector(2, _words(GROUPS))),
            (11, b"\x01\x00"),
            (35, b""),
            (16, _vector(2, b"".join(_vector(1, name.encode()) for name in alpn))),
            (5, b"\x01\x00\x00\x00\x00"),
            (13, _vector(2, _words(SIGNATURES))),
            (51, _vector(2, shares)),
            (45, b"\x01\x01"),
            (43, _vector(1, _words([0x0304, 0x0303]))),
        )
    )
    body = b"\x03\x03" + drawn.randbytes(32) + _vector(1, drawn.randbytes(32))
    body += _vector(2, _words(SUITES)) + b"\x01\x00" + _vector(2, extensions)
    message = b"\x01" + _vector(3, body)
    return bytes([HANDSHAKE, 3, 1]) + _vector(2, message)


def server_hello(data: bytes) -> ServerHello | None:
    """Of what the origin sent so far; none while it is not whole."""
    message = b"".join(payload for kind, payload in records(data) if kind == HANDSHAKE)
    if len(message) < 4 or len(message) < 4 + int.from_bytes(message[1:4], "big"):
        return None
    assert message[0] == 2, f"not a ServerHello: {message[:8].hex()}"
    body = message[4 : 4 + int.from_bytes(message[1:4], "big")]
    at = 34 + 1 + body[34] + 3  # version, random, session id, suite, compression
    end = at + 2 + int.from_bytes(body[at : at + 2], "big")
    at += 2
    found = {}
    while at < end:
        number, size = struct.unpack(">HH", body[at : at + 4])
        found[number] = body[at + 4 : at + 4 + size]
        at += 4 + size
    group = int.from_bytes(found[51][:2], "big") if 51 in found else 0
    version = int.from_bytes(found[43], "big") if 43 in found else 0x0303
    return ServerHello(group, version, body[2:34] == RETRY)
