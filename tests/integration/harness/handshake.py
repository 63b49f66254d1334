"""A TLS handshake whose bytes the test carries itself, over Python's ssl (OpenSSL): to cut the
ClientHello anywhere, to frame it in other records, to stop in the middle."""

import ssl

HANDSHAKE, ALERT = 22, 21


def records(data: bytes) -> list[tuple[int, bytes]]:
    """(type, payload) of each whole TLS record."""
    found = []
    while len(data) >= 5 and len(data) >= 5 + int.from_bytes(data[3:5], "big"):
        size = int.from_bytes(data[3:5], "big")
        found.append((data[0], data[5 : 5 + size]))
        data = data[5 + size :]
    return found


def alert(data: bytes) -> int | None:
    """The code of the clear-text alert that the bytes begin with (RFC 8446 §6); none if there is none."""
    first = records(data)[:1]
    return first[0][1][1] if first and first[0][0] == ALERT and len(first[0][1]) == 2 else None


class Handshake:
    """`hello` is the ClientHello as it would go out. What may have been done to its framing, the
    handshake goes on with finish()."""

    def __init__(self, context: ssl.SSLContext, sni: str | None = "localhost", session=None):
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=sni, session=session)
        self._step()
        self.hello = self._outgoing.read()

    @property
    def message(self) -> bytes:
        """The handshake message inside the hello's records."""
        return b"".join(payload for _, payload in records(self.hello))

    def framed(self, size: int) -> bytes:
        """The same hello in records of at most so many bytes."""
        message = self.message
        parts = [message[at : at + size] for at in range(0, len(message), size)]
        return b"".join(bytes([HANDSHAKE, 3, 1]) + len(part).to_bytes(2, "big") + part for part in parts)

    def finish(self, connection) -> None:
        """The rest of the handshake, after the hello was sent; ssl.SSLError if it fails."""
        while not self._step():
            connection.sendall(self._outgoing.read())
            data = connection.recv(65536)
            if not data:
                raise ssl.SSLEOFError("closed within the handshake")
            self._incoming.write(data)
        connection.sendall(self._outgoing.read())

    def get(self, connection, path: str = "/bytes/0") -> bytes:
        """One HTTP/1.1 request over the finished handshake; the head of the response."""
        self.tls.write(f"GET {path} HTTP/1.1\r\nHost: {self.tls.server_hostname}\r\n\r\n".encode())
        connection.sendall(self._outgoing.read())
        head = b""
        while b"\r\n\r\n" not in head:
            try:
                head += self.tls.read(65536)
            except ssl.SSLWantReadError:
                data = connection.recv(65536)
                if not data:
                    break
                self._incoming.write(data)
        return head

    def _step(self) -> bool:
        try:
            self.tls.do_handshake()
            return True
        except ssl.SSLWantReadError:
            return False
