"""One nginx with a server block a case, each on a port of its own that is bound before it starts."""

import dataclasses
import os
import pathlib
import shutil
import socket
import subprocess

from .process import wait_until


@dataclasses.dataclass
class Server:
    """`listen` stands behind the port in `listen`: "ssl http2". `inside` are directives, `also` further
    server blocks of the same port, in which {listen} is the directive's value."""

    inside: str = ""
    listen: str = "ssl http2"
    also: str = ""


class Nginx:
    """The ports by the names of the servers. Listening sockets are handed over as nginx hands them to its
    own successor, so no port can be lost between."""

    def __init__(self, folder: pathlib.Path, servers: dict[str, Server]):
        self._sockets = {name: socket.create_server(("127.0.0.1", 0), backlog=128) for name in servers}
        self.ports = {name: bound.getsockname()[1] for name, bound in self._sockets.items()}
        conf = folder / "nginx.conf"
        conf.write_text(self._conf(folder, servers))
        self._log = folder / "nginx.log"
        numbers = [bound.fileno() for bound in self._sockets.values()]
        with open(self._log, "ab") as log:
            self.child = subprocess.Popen(
                [shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin"), "-c", str(conf), "-e", "stderr"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=numbers,
                env={**os.environ, "NGINX": "".join(f"{number};" for number in numbers)},
            )  # fmt: skip
        pid = folder / "nginx.pid"
        wait_until(lambda: pid.exists() or self.child.poll() is not None, "start of nginx")
        assert self.child.poll() is None, self.log()
        for bound in self._sockets.values():
            bound.close()

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def stop(self) -> None:
        self.child.terminate()
        self.child.wait(20)

    def _conf(self, folder: pathlib.Path, servers: dict[str, Server]) -> str:
        blocks = []
        for name, server in servers.items():
            listen = f"127.0.0.1:{self.ports[name]} {server.listen}"
            blocks.append(f"server {{ listen {listen}; server_name localhost; {server.inside} }}")
            blocks.append(server.also.replace("{listen}", listen))
        return f"""
            daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit;
            events {{ worker_connections 512; }}
            http {{
              access_log off; ssl_protocols TLSv1.2 TLSv1.3; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
              fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
              {chr(10).join(blocks)}
            }}"""
