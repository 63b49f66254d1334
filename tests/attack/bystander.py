"""The second client, who has nothing to do with the attack and must be served all the while."""

import socket
import threading
import time

from harness.clients import tls_context
from harness.load import response_of
from harness.origin import pattern

ADDRESS = "127.0.0.9"  # its own, so that what is capped by address is the attacker's alone
HOST = "calm.test"
DEADLINE = 10.0  # of one request, a fresh handshake included; a healthy gateway takes milliseconds
PAUSE = 0.02  # between requests
FRESH = 8  # every so many requests it comes by a new connection


class Bystander:
    """Asks over TLS without a pause that matters, in turns over one kept connection and over new
    ones, from the start of the arena to its end."""

    def __init__(self, port: int, cacert):
        self._port, self._context = port, tls_context(cacert, alpn=("http/1.1",))
        self._changed = threading.Condition()
        self._asked = False  # for a turn at once
        self._stopping = False
        self._paused = False
        self._kept = None
        self.turns = 0
        self.worst = 0.0  # seconds, of one request
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def check(self):
        """It was served in time since the last check, and is served now: a request that begins
        after the call is answered before it returns."""
        with self._changed:
            wanted = self.turns + 2  # the one under way may have begun before
            self._asked = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.turns >= wanted or self._failure, 2 * DEADLINE + 1)
            failure, self._failure, self._asked = self._failure, None, False
            assert failure is None, f"the second client was not served: {failure!r}"
            assert self.turns >= wanted, "the second client waits for an answer"

    def pause(self, still: bool):
        """Lets it rest while CPU time is measured."""
        with self._changed:
            self._paused = still
            self._changed.notify_all()

    def stop(self):
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(DEADLINE + 5)
        assert not self._thread.is_alive(), "the second client hangs"

    def _run(self):
        while not self._stopping:
            failure = None
            try:
                self._turn()
            except BaseException as caught:  # noqa: BLE001: told by check()
                failure, self._kept = caught, None
            with self._changed:
                self.turns += 1
                self._failure = self._failure or failure
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._asked or self._stopping, PAUSE)
                self._changed.wait_for(lambda: not self._paused or self._asked or self._stopping)

    def _connect(self):
        plain = socket.create_connection(("127.0.0.1", self._port), DEADLINE, (ADDRESS, 0))
        return self._context.wrap_socket(plain, server_hostname=HOST)

    def _turn(self):
        begun = time.monotonic()
        if self.turns % FRESH == FRESH - 1:
            with self._connect() as fresh:
                self._ask(fresh)
        else:
            self._kept = self._kept or self._connect()
            self._ask(self._kept)
        took = time.monotonic() - begun
        self.worst = max(self.worst, took)
        assert took < DEADLINE, f"served after {took:.1f} s"

    @staticmethod
    def _ask(connection):
        connection.sendall(b"GET /bytes/300 HTTP/1.1\r\nHost: calm.test\r\n\r\n")
        assert response_of(connection, 300) == pattern(300)
