"""The programs that are compared, and the origins behind them: their configurations, written so that each
does the same work with the same cryptography, and as cheaply as its own documentation knows.

All: one worker unless a row says more, no request limit a connection, upstream connections kept, X-Forwarded-For and -Proto
set, tickets on and no session cache, TLS_AES_128_GCM_SHA256 and ECDHE-*-AES128-GCM-SHA256, X25519.
"""

import dataclasses
import json
import os
import pathlib
import subprocess

from processes import BenchError, Program, free_port

SUITE = "TLS_AES_128_GCM_SHA256"
CIPHERS = ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256")
KIB = 1024
FILES = {"1k": KIB, "64k": 64 * KIB, "10m": 10 * KIB * KIB}
PEERS = ("nginx", "haproxy", "nghttpx")


@dataclasses.dataclass(frozen=True)
class Variant:
    """What a row asks of a proxy beyond TLS in front and HTTP/1.1 behind."""

    upstream: str = "h1"  # h1, h2c, tls (HTTP/1.1 over TLS, verified)
    access_log: bool = False  # JSON lines, into a file
    rsa12: bool = False  # an RSA-2048 certificate and TLS 1.2 alone
    workers: int = 1


class Certificates:
    """A throw-away CA with an ECDSA P-256 and an RSA-2048 certificate for localhost."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.ca = folder / "ca.pem"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                      "-keyout", "ca.key", "-out", "ca.pem", "-days", "30", "-subj", "/CN=bench CA",
                      "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
        (folder / "leaf.ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
        self._leaf("ecdsa", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
        self._leaf("rsa", "rsa:2048")

    def pair(self, variant: Variant) -> tuple[pathlib.Path, pathlib.Path]:
        name = "rsa" if variant.rsa12 else "ecdsa"
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def combined(self, variant: Variant) -> pathlib.Path:
        """Certificate and key in one file, as HAProxy wants them."""
        chain, key = self.pair(variant)
        both = chain.with_suffix(".both")
        both.write_text(chain.read_text() + key.read_text())
        return both

    def _leaf(self, name: str, *key: str) -> None:
        self._openssl("req", "-new", "-newkey", *key, "-nodes", "-keyout", f"{name}.key", "-subj", "/CN=localhost",
                      "-out", f"{name}.csr")  # fmt: skip
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                      "-days", "30", "-out", f"{name}.pem", "-extfile", "leaf.ext")  # fmt: skip

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], cwd=self.folder, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise BenchError(f"openssl {arguments[0]}: {done.stderr.strip()}")


def _user() -> str:
    return "user root;" if os.geteuid() == 0 else ""  # its worker must be able to read our folder


class Origins:
    """nginx with files over HTTP/1.1 and over TLS, a sink for uploads, and nghttpd for h2c."""

    def __init__(self, folder: pathlib.Path, certs: Certificates, core: int):
        self.ports = {"h1": free_port(), "tls": free_port(), "h2c": free_port()}
        files = folder / "files"
        files.mkdir()
        for name, size in FILES.items():
            (files / name).write_bytes(os.urandom(size))
        config = folder / "origin.conf"
        config.write_text(self._nginx(folder, files, certs))
        started = []
        try:
            for name, command, ports in (
                ("origin-nginx", ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(config)],
                 [self.ports["h1"], self.ports["tls"]]),
                ("origin-nghttpd", ["nghttpd", "--no-tls", "--address=127.0.0.1", "-m", "256", "-d", str(files),
                                    str(self.ports["h2c"])], [self.ports["h2c"]]),
            ):  # fmt: skip
                started.append(Program(name, command, [core], folder / f"{name}.log", ports))
                started[-1].wait_ready()
        except BenchError:
            for program in started:
                program.stop()
            raise
        self._programs = started

    def stop(self) -> None:
        for program in self._programs:
            program.stop()

    def _nginx(self, folder: pathlib.Path, files: pathlib.Path, certs: Certificates) -> str:
        chain, key = certs.pair(Variant())
        # nginx answers `return` before it has read a body. So that uploads are really taken, the sink
        # buffers each whole and then asks itself for the answer.
        return f"""
daemon off; worker_processes 1; pid {folder}/origin.pid; {_user()}
events {{ worker_connections 8192; }}
http {{
  access_log off; default_type application/octet-stream; keepalive_requests 1000000000; keepalive_timeout 300s;
  open_file_cache max=16; tcp_nodelay on; client_max_body_size 0; client_body_buffer_size 2m;
  client_body_temp_path {folder}/origin_body; proxy_temp_path {folder}/origin_proxy;
  fastcgi_temp_path {folder}/origin_fastcgi; uwsgi_temp_path {folder}/origin_uwsgi;
  scgi_temp_path {folder}/origin_scgi;
  upstream answer {{ server unix:{folder}/answer.sock; keepalive 64; }}
  server {{ listen unix:{folder}/answer.sock; return 200 "taken"; }}
  server {{
    listen 127.0.0.1:{self.ports["h1"]} backlog=4096;
    listen 127.0.0.1:{self.ports["tls"]} ssl backlog=4096;
    ssl_certificate {chain}; ssl_certificate_key {key}; ssl_protocols TLSv1.3; ssl_ecdh_curve X25519;
    ssl_conf_command Ciphersuites {SUITE};
    root {files};
    location = /sink {{
      proxy_pass http://answer; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_pass_request_body off; proxy_set_header Content-Length ""; proxy_method GET;
    }}
  }}
}}
"""


@dataclasses.dataclass
class Place:
    """Where a proxy is set up: its files, the port it listens on, the origins behind it."""

    folder: pathlib.Path
    port: int
    certs: Certificates
    origins: Origins

    def origin(self, variant: Variant) -> str:
        return f"127.0.0.1:{self.origins.ports[variant.upstream]}"

    @property
    def access_log(self) -> pathlib.Path:
        return self.folder / "access.jsonl"


def sallyport(binary: str, variant: Variant, at: Place) -> list[str]:
    chain, key = at.certs.pair(variant)
    upstream = {
        "protocol": "h2" if variant.upstream == "h2c" else "h1",
        "endpoints": [at.origin(variant)],
        "pool": {"max_idle": 1024},
    }
    if variant.upstream == "tls":
        upstream["tls"] = {"server_name": "localhost", "ca": str(at.certs.ca)}
    config = {
        "version": 1,
        "workers": variant.workers,
        "limits": {"requests_per_connection": 0, "connection_age": 0, "connections": 20000},
        "listeners": [{"name": "https", "address": f"127.0.0.1:{at.port}"}],
        "admin": {"address": "127.0.0.1:0"},
        "access_log": {"path": str(at.access_log) if variant.access_log else "off"},
        "tls": {
            "policies": {
                "default": {
                    "min_version": "1.2",
                    "max_version": "1.2" if variant.rsa12 else "1.3",
                    "ciphers": list(CIPHERS),
                    "cipher_suites": [SUITE],
                    "groups": ["X25519"],
                }
            }
        },
        "hosts": [
            {
                "names": ["localhost"],
                "tls": {"certificates": [{"chain": str(chain), "key": str(key)}]},
                "routes": [{"upstream": "origin"}],
            }
        ],
        "upstreams": {"origin": upstream},
    }
    file = at.folder / "sallyport.yaml"
    file.write_text(json.dumps(config))  # JSON is YAML
    return [binary, "run", "-c", str(file)]


def nginx(variant: Variant, at: Place) -> list[str]:
    chain, key = at.certs.pair(variant)
    log = f"access_log {at.access_log} json buffer=64k flush=1s;" if variant.access_log else "access_log off;"
    verified = ""
    if variant.upstream == "tls":
        verified = f"""proxy_ssl_verify on; proxy_ssl_trusted_certificate {at.certs.ca}; proxy_ssl_name localhost;
      proxy_ssl_server_name on; proxy_ssl_protocols TLSv1.3; proxy_ssl_conf_command Ciphersuites {SUITE};"""
    scheme = "https" if variant.upstream == "tls" else "http"
    file = at.folder / "nginx.conf"
    file.write_text(f"""
daemon off; worker_processes {variant.workers}; pid {at.folder}/nginx.pid; {_user()}
events {{ worker_connections 16384; }}
http {{
  log_format json escape=json '{{"time":"$time_iso8601","client":"$remote_addr","host":"$host","method":"$request_method",'
    '"target":"$request_uri","protocol":"$server_protocol","status":$status,"bytes":$body_bytes_sent,'
    '"seconds":$request_time,"tls":"$ssl_protocol","cipher":"$ssl_cipher","upstream":"$upstream_addr",'
    '"user_agent":"$http_user_agent"}}';
  {log}
  keepalive_requests 1000000000; client_max_body_size 0; tcp_nodelay on; http2_max_concurrent_streams 128;
  client_body_temp_path {at.folder}/body; proxy_temp_path {at.folder}/proxy; fastcgi_temp_path {at.folder}/fastcgi;
  uwsgi_temp_path {at.folder}/uwsgi; scgi_temp_path {at.folder}/scgi;
  upstream origin {{ server {at.origin(variant)}; keepalive 1024; keepalive_requests 1000000000; keepalive_time 24h; }}
  server {{
    listen 127.0.0.1:{at.port} ssl http2 backlog=4096;
    server_name localhost;
    ssl_certificate {chain}; ssl_certificate_key {key}; ssl_protocols {"TLSv1.2" if variant.rsa12 else "TLSv1.2 TLSv1.3"};
    ssl_ciphers {":".join(CIPHERS)}; ssl_conf_command Ciphersuites {SUITE}; ssl_ecdh_curve X25519;
    ssl_session_tickets on; ssl_session_cache off;
    location / {{
      proxy_pass {scheme}://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_request_buffering off; proxy_max_temp_file_size 0;
      {verified}
    }}
  }}
}}
""")
    return ["nginx", "-p", str(at.folder), "-e", "stderr", "-c", str(file)]


def haproxy(variant: Variant, at: Place) -> list[str]:
    options = {
        "h1": "",
        "h2c": "proto h2",
        "tls": f"ssl verify required ca-file {at.certs.ca} sni str(localhost) ciphersuites {SUITE}",
    }[variant.upstream]
    log, log_format = "no log", ""
    if variant.access_log:  # to its standard output, which is the file
        log = "log stdout format raw local0"
        log_format = (
            "log-format '{\"time\":\"%tr\",\"client\":\"%ci\",\"host\":\"%[capture.req.hdr(0)]\",\"method\":\"%HM\","
            "\"target\":\"%HU\",\"protocol\":\"%HV\",\"status\":%ST,\"bytes\":%B,\"milliseconds\":%Ta,"
            "\"tls\":\"%sslv\",\"cipher\":\"%sslc\",\"upstream\":\"%si:%sp\","
            "\"user_agent\":\"%[capture.req.hdr(1)]\"}'\n"
            "  http-request capture req.hdr(host) len 64\n  http-request capture req.hdr(user-agent) len 128"
        )
    file = at.folder / "haproxy.cfg"
    file.write_text(f"""
global
  nbthread {variant.workers}
  maxconn 6000
  ssl-default-bind-options ssl-min-ver TLSv1.2{" ssl-max-ver TLSv1.2" if variant.rsa12 else ""}
  ssl-default-bind-ciphers {":".join(CIPHERS)}
  ssl-default-bind-ciphersuites {SUITE}
  ssl-default-bind-curves X25519
  tune.ssl.cachesize 0
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout http-keep-alive 75s
  http-reuse always
  option forwardfor
frontend https
  {log}
  {log_format}
  bind 127.0.0.1:{at.port} ssl crt {at.certs.combined(variant)} alpn h2,http/1.1 backlog 4096
  http-request set-header X-Forwarded-Proto https
  default_backend origin
backend origin
  server origin {at.origin(variant)} {options}
""")
    return ["haproxy", "-db", "-f", str(file)]


def nghttpx(variant: Variant, at: Place) -> list[str]:
    chain, key = at.certs.pair(variant)
    host, port = at.origin(variant).split(":")
    backend = {"h1": "", "h2c": ";;proto=h2", "tls": ";;tls;sni=localhost"}[variant.upstream]
    command = [
        "nghttpx", "--conf=/dev/null", "--single-process", f"--workers={variant.workers}", "--backlog=4096",
        f"--frontend=127.0.0.1,{at.port}", f"--backend={host},{port}{backend}", f"--cacert={at.certs.ca}",
        f"--ciphers={':'.join(CIPHERS)}", f"--tls13-ciphers={SUITE}", f"--tls13-client-ciphers={SUITE}",
        "--ecdh-curves=X25519", "--tls-min-proto-version=TLSv1.2",
        f"--tls-max-proto-version={'TLSv1.2' if variant.rsa12 else 'TLSv1.3'}",
        "--add-x-forwarded-for", f"--pid-file={at.folder}/nghttpx.pid", "--errorlog-file=/dev/stderr",
    ]  # fmt: skip
    if variant.access_log:
        command += [
            f"--accesslog-file={at.access_log}",
            '--accesslog-format={"time":"$time_iso8601","client":"$remote_addr","host":"$http_host",'
            '"method":"$method","target":"$path","protocol":"$protocol_version","status":$status,'
            '"bytes":$body_bytes_sent,"seconds":$request_time,"tls":"$tls_protocol","cipher":"$tls_cipher",'
            '"upstream":"$backend_host:$backend_port","user_agent":"$http_user_agent"}',
        ]
    return [*command, str(key), str(chain)]


@dataclasses.dataclass(frozen=True)
class Column:
    """One program of the table."""

    name: str
    binary: str = ""  # of Sallyport; the peers are found by their names

    def command(self, variant: Variant, at: Place) -> list[str]:
        if self.binary:
            return sallyport(self.binary, variant, at)
        return {"nginx": nginx, "haproxy": haproxy, "nghttpx": nghttpx}[self.name](variant, at)


class Proxy:
    """A running column."""

    def __init__(self, column: Column, variant: Variant, folder: pathlib.Path, certs: Certificates, origins: Origins,
                 cores: list[int]):  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        self.name = column.name
        self.ca = certs.ca
        for attempt in range(3):  # somebody else may take the port between the choice and the bind
            place = Place(folder, free_port(), certs, origins)
            command = column.command(variant, place)
            # HAProxy writes its access log to its standard output.
            log = place.access_log if column.name == "haproxy" and variant.access_log else folder / "output.log"
            self.port = place.port
            self._log = place.access_log
            self.program = Program(column.name, command, cores, log, [place.port])
            try:
                self.program.wait_ready()
                return
            except BenchError:
                self.program.stop()
                if attempt == 2:
                    raise

    def url(self, path: str) -> str:
        return f"https://localhost:{self.port}{path}"

    def log_lines(self) -> int:
        return self._log.read_bytes().count(b"\n") if self._log.exists() else 0

    def empty_log(self) -> None:
        """Keeps a long run's log small; all writers append."""
        if self._log.exists():
            os.truncate(self._log, 0)

    def stop(self) -> None:
        self.program.stop()
