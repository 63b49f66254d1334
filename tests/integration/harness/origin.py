"""sallyport-demo as the origin; `sallyport-demo --help` lists its paths."""

import http.client
import json
import pathlib

from .process import Process, wait_until

PERIOD = 65521
_PATTERN = bytes((((k * 2654435761) & 0xFFFFFFFF) >> 13) & 0xFF for k in range(PERIOD))


def pattern(count: int) -> bytes:
    """What /bytes/COUNT answers."""
    return (_PATTERN * (count // PERIOD + 1))[:count]


class Origin(Process):
    """Options are those of the program: h1, h2 and auto are addresses; cert and key make it TLS."""

    def __init__(self, binary, folder: pathlib.Path, name="origin", **options):
        options = options or {"h1": "127.0.0.1:0", "h2": "127.0.0.1:0"}
        arguments = [part for key, value in options.items() for part in ("--" + key.replace("_", "-"), value)]
        super().__init__(name, [binary, *arguments], folder)
        self.tls = "cert" in options

    def port(self, kind: str = "h1") -> int:
        return self.ports[kind]

    def endpoint(self, kind: str = "h1") -> str:
        return f"127.0.0.1:{self.port(kind)}"

    def stats(self) -> dict:
        """Counters of the process, asked over HTTP/1.1 without TLS; the asking itself is counted."""
        assert not self.tls and "h1" in self.ports, "an origin with TLS cannot be asked"
        connection = http.client.HTTPConnection("127.0.0.1", self.port("h1"), timeout=10)
        try:
            connection.request("GET", "/stats", headers={"Connection": "close"})
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def wait_stat(self, name: str, at_least: int) -> dict:
        def reached():
            stats = self.stats()
            return stats if stats[name] >= at_least else None

        return wait_until(reached, f"{name} >= {at_least} at the origin", process=self)
