"""An HTTP/1.1 origin that ends its connections as a test says, from a thread a connection."""

import re
import socket
import threading


class ScriptedOrigin:
    """`script(origin, request, nth)` is asked for each request, the nth on its connection from 0,
    and gives the bytes to answer, then whether to keep the connection. Counts what it saw."""

    def __init__(self, script, listener: socket.socket | None = None):
        self._script = script
        self._listener = listener or socket.create_server(("127.0.0.1", 0))
        self._listener.listen(128)
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self.connections = 0
        self.requests: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return "127.0.0.1:%d" % self._listener.getsockname()[1]

    def close_connections(self):
        """As a server does with those that are idle for too long."""
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self):
        self._listener.close()
        self.close_connections()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            with connection:
                nth = 0
                while request := self._read(connection):
                    with self._lock:
                        self.requests.append(request)
                    answer, keep = self._script(self, request, nth)
                    connection.sendall(answer)
                    if not keep:
                        return
                    nth += 1
        except OSError:
            pass

    @staticmethod
    def _read(connection) -> bytes:
        """A head and a body of its Content-Length; nothing at the end."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return b""
            data += more
        head = data.split(b"\r\n\r\n", 1)[0]
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        while len(data) < len(head) + 4 + (int(length.group(1)) if length else 0):
            more = connection.recv(65536)
            if not more:
                return b""
            data += more
        return data


def ok(body: bytes = b"ok") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
