"""The gateway under test: `sallyport run` on a configuration of the test's own."""

import http.client
import json
import pathlib
import signal
import socket

import yaml

from .metrics import Metrics
from .process import Process, wait_until


class Gateway(Process):
    def __init__(self, binary, config, folder: pathlib.Path, env=None, name="gateway"):
        self.config_file = folder / f"{name}.yaml"
        self.write_config(config)
        super().__init__(name, [binary, "run", "-c", self.config_file], folder, env)

    def write_config(self, config) -> None:
        """A dict or YAML text, whole at once. Takes effect with reload()."""
        text = config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False)
        part = self.config_file.with_suffix(".part")
        part.write_text(text)
        part.rename(self.config_file)

    def port(self, listener: str = "https") -> int:
        return self.ports["listeners"][listener]

    def url(self, path: str = "/", listener: str = "https", host: str = "localhost") -> str:
        scheme = "http" if listener.startswith("http") and not listener.startswith("https") else "https"
        return f"{scheme}://{host}:{self.port(listener)}{path}"

    def admin(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Status and body of a request to the admin address (TCP or unix:PATH)."""
        address = self.ports["admin"]
        if address.startswith("unix:"):
            connection = http.client.HTTPConnection("localhost", timeout=10)
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(10)
            connection.sock.connect(address[len("unix:") :])
        else:
            connection = http.client.HTTPConnection(address, timeout=10)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def metrics(self) -> Metrics:
        status, text = self.admin("/metrics")
        assert status == 200, text
        return Metrics(text)

    def wait_metric(self, name: str, at_least: float, **labels) -> float:
        """Until the sum of the samples with these labels is at least so much."""
        return wait_until(
            lambda: (value := self.metrics().value(name, **labels)) >= at_least and (value,),
            f"{name}{labels} >= {at_least}",
            process=self,
        )[0]

    def reload(self, config=None) -> bool:
        """SIGHUP, on a new configuration if one is given; true if it was taken, once that is known."""
        if config is not None:
            self.write_config(config)
        before = self.metrics().value("sallyport_config_reloads_total")
        self.signal(signal.SIGHUP)
        self.wait_metric("sallyport_config_reloads_total", before + 1)
        return self.metrics().value("sallyport_config_last_reload_successful") == 1

    def access_log(self, path: pathlib.Path | None = None) -> list[dict]:
        """The access log's lines so far; a line that is only half written is left out."""
        file = path or self.folder / "access.jsonl"
        if not file.exists():
            return []
        return [json.loads(line) for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def wait_access(self, count: int = 1, **fields) -> list[dict]:
        """Until `count` lines with these fields are written; gives them."""

        def matching():
            lines = [line for line in self.access_log() if all(line.get(k) == v for k, v in fields.items())]
            return lines if len(lines) >= count else None

        return wait_until(matching, f"{count} access log line(s) with {fields}", process=self)
