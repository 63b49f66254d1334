"""Clients: curl for whole requests, raw TLS and TCP for everything that curl would not do."""

import dataclasses
import os
import pathlib
import re
import select
import socket
import ssl
import subprocess
import tempfile


@dataclasses.dataclass
class Response:
    status: int = 0
    version: str = ""
    headers: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    body: bytes = b""
    trailers: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    interim: list[tuple[int, list[tuple[str, str]]]] = dataclasses.field(default_factory=list)  # 1xx heads
    exit_code: int = 0  # curl's: 0 = whole, 18 = cut off, 35 = TLS failed, 52 = empty, 56 = reset, 92 = h2 stream
    error: str = ""

    def header(self, name: str) -> str | None:
        """All values of a field, joined; none if it is absent."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None


def _fields(lines: list[str]) -> list[tuple[str, str]]:
    return [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]


def _read_heads(text: str, response: Response) -> None:
    """Fills in what `curl -D` wrote: 1xx heads, the head, and trailers behind it."""
    for block in re.split(r"\r?\n\r?\n", text.strip("\r\n")):
        lines = block.splitlines()
        if not lines:
            continue
        if not lines[0].startswith("HTTP/"):
            response.trailers = _fields(lines)
            continue
        version, status, *_ = lines[0].split(" ")
        if status.startswith("1") and status != "101":
            response.interim.append((int(status), _fields(lines[1:])))
        else:
            response.version, response.status, response.headers = version, int(status), _fields(lines[1:])


def curl(url: str, *arguments, http: str = "", cacert=None, host: str = "", method: str = "", headers=(),
         data: bytes | None = None, timeout: float = 60.0) -> Response:  # fmt: skip
    """One request. `http`: "1.0", "1.1", "2" or "2-prior-knowledge". `host`: the name that stands
    in the URL, to be looked for at 127.0.0.1. Nothing is raised: exit_code tells how it went."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        command = ["curl", "-sS", "-q", "--max-time", str(timeout), "-D", folder / "head", "-o", folder / "body"]
        if http:
            command.append("--http" + http)
        if cacert:
            command += ["--cacert", cacert]
        if host:
            port = re.search(r":(\d+)", url.split("//", 1)[1]).group(1)
            command += ["--resolve", f"{host}:{port}:127.0.0.1"]
        if method == "HEAD":
            command.append("--head")
        elif method:
            command += ["-X", method]
        for header in headers:
            command += ["-H", header]
        if data is not None:
            (folder / "data").write_bytes(data)
            command += ["--data-binary", f"@{folder / 'data'}"]
        run = subprocess.run([*map(str, command), *map(str, arguments), url], capture_output=True, check=False)
        response = Response(exit_code=run.returncode, error=run.stderr.decode(errors="replace").strip())
        if (folder / "head").exists():
            _read_heads((folder / "head").read_text("latin-1"), response)
        if method != "HEAD" and (folder / "body").exists():  # for HEAD curl writes the head there
            response.body = (folder / "body").read_bytes()
        return response


def tcp(port: int, address: str = "127.0.0.1", timeout: float = 20.0) -> socket.socket:
    connection = socket.create_connection((address, port), timeout)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def tls_context(cacert, alpn=("h2", "http/1.1"), client=None, minimum=None, maximum=None, ciphers=None):
    """`client`: a certs.Leaf to show. `minimum`, `maximum`: ssl.TLSVersion. `alpn=()` sends none."""
    context = ssl.create_default_context(cafile=str(cacert))
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if client:
        context.load_cert_chain(str(client.chain), str(client.key))
    if minimum:
        context.minimum_version = minimum
    if maximum:
        context.maximum_version = maximum
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def tls(port: int, context: ssl.SSLContext, sni: str | None = "localhost", session=None,
        address: str = "127.0.0.1") -> ssl.SSLSocket:  # fmt: skip
    """A finished handshake; ssl.SSLError if it failed. Without SNI the name is not checked."""
    if sni is None:
        context.check_hostname = False
    return context.wrap_socket(tcp(port, address), server_hostname=sni, session=session)


def read_until(connection, mark: bytes, limit: int = 1 << 20) -> bytes:
    """Reads until `mark` has come, or the end."""
    data = b""
    while mark not in data and len(data) < limit:
        more = connection.recv(65536)
        if not more:
            break
        data += more
    return data


def read_all(connection, limit: int = 1 << 30) -> bytes:
    """Reads to the end; a reset ends it too."""
    data = bytearray()
    try:
        while len(data) < limit and (more := connection.recv(65536)):
            data += more
    except (ConnectionResetError, ssl.SSLEOFError):
        pass
    return bytes(data)


def run(*command, timeout: float = 120.0, stdin: bytes = b"") -> subprocess.CompletedProcess:
    """Any other peer: openssl, nghttp, h2load, promtool. Output is text in stdout and stderr."""
    done = subprocess.run(list(map(str, command)), input=stdin, capture_output=True, timeout=timeout, check=False)
    done.stdout, done.stderr = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    return done


def s_client(port: int, *arguments, sni: str | None = "localhost", stdin: bytes = b"Q\n") -> subprocess.CompletedProcess:
    """openssl s_client, which ends after the handshake unless more is given on stdin."""
    name = ["-servername", sni] if sni else ["-noservername"]
    return run("openssl", "s_client", "-connect", f"127.0.0.1:{port}", *name, *arguments, stdin=stdin)


class Interactive:
    """A program that is talked to in steps; its output, both kinds of it, is text."""

    def __init__(self, *command):
        self._child = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT)  # fmt: skip
        self.output = ""

    def say(self, text: str) -> None:
        self._child.stdin.write(text.encode())
        self._child.stdin.flush()

    def until(self, mark: str, timeout: float = 20.0) -> str:
        """Reads until `mark` has come, or the end; gives all output so far."""
        stream = self._child.stdout
        while mark not in self.output and select.select([stream], [], [], timeout)[0]:
            data = os.read(stream.fileno(), 65536)
            if not data:
                break
            self.output += data.decode(errors="replace")
        assert mark in self.output, self.output
        return self.output

    def end(self) -> str:
        """Closes its input and waits for its end; gives all output."""
        rest, _ = self._child.communicate(timeout=20)
        self.output += rest.decode(errors="replace")
        return self.output
