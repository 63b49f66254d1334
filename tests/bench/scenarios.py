"""The rows of the table: what is asked of each program, and how the one number comes about."""

import dataclasses
import pathlib
from collections.abc import Callable

import loads
from loads import Effort
from processes import BenchError
from proxies import KIB, PEERS, Proxy, Variant

H1 = Variant()
LOGGED = Variant(access_log=True)
H2C = Variant(upstream="h2c")
TLS = Variant(upstream="tls")
RSA = Variant(rsa12=True)

DOWNLOADS_A_SECOND = 60  # of 10 MiB; where whole transfers are counted, this many make a "second"
UPLOADS_A_SECOND = 300  # of 1 MiB

Load = Callable[[Proxy, Effort], int]
Measure = Callable[[Proxy, Effort, pathlib.Path], float]


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    title: str
    unit: str
    variant: Variant
    measure: Measure
    bar: float  # the ratio that is aimed at
    against: str = "best"  # the best peer, or one by name
    fresh: bool = False  # a new process for every number
    unable: tuple[str, ...] = ()  # peers that cannot do this
    warm_up: Load | None = None  # not measured: once, before the first number

    def peers(self) -> list[str]:
        return [peer for peer in PEERS if peer not in self.unable]


def cpu(load: Load) -> Measure:
    """Microseconds on a CPU that the proxy's process took for each request of this load."""

    def measure(proxy: Proxy, effort: Effort, _: pathlib.Path) -> float:
        before = proxy.program.cpu_ns()
        requests = load(proxy, effort)
        after = proxy.program.cpu_ns()
        if not requests:
            raise BenchError(f"{proxy.name} answered no request")
        return (after - before) / 1000 / requests

    return measure


def logged(load: Load) -> Load:
    """The same, and the access log must have a line for each request: one that drops lines is not quick."""

    def run(proxy: Proxy, effort: Effort) -> int:
        proxy.empty_log()
        requests = load(proxy, effort)
        if not loads.settles(lambda: proxy.log_lines() >= requests):
            raise BenchError(f"{proxy.name} logged {proxy.log_lines()} of {requests} requests")
        proxy.empty_log()
        return requests

    return run


def h1(path: str) -> Load:
    return lambda proxy, effort: loads.wrk(proxy, path, 64, effort.seconds)


def h2(streams: int) -> Load:
    return lambda proxy, effort: loads.h2load(proxy, "/1k", 16, streams, seconds=effort.seconds)


def warm_h2(proxy: Proxy, _: Effort) -> int:
    """Until as many upstream connections are there as this load needs: 512 handshakes over TLS are no part
    of what a kept connection costs."""
    return loads.h2load(proxy, "/1k", 16, 32, requests=4000)


def download(proxy: Proxy, effort: Effort) -> int:
    return loads.h2load(proxy, "/10m", 4, 2, requests=DOWNLOADS_A_SECOND * effort.seconds)


def upload(proxy: Proxy, effort: Effort, folder: pathlib.Path) -> int:
    body = folder / "upload.body"
    if not body.exists():
        body.write_bytes(bytes(KIB * KIB))
    return loads.h2load(proxy, "/sink", 8, 2, requests=UPLOADS_A_SECOND * effort.seconds, upload=body)


def uploads(proxy: Proxy, effort: Effort, folder: pathlib.Path) -> float:
    return cpu(lambda proxy, effort: upload(proxy, effort, folder))(proxy, effort, folder)


def handshakes(**options: bool) -> Measure:
    return cpu(lambda proxy, effort: loads.handshakes(proxy, effort.seconds, **options))


def idle(protocol: str) -> Measure:
    return lambda proxy, effort, _: loads.idle_kib(proxy, protocol, effort.idle_connections)


def p99(proxy: Proxy, effort: Effort, folder: pathlib.Path) -> float:
    return loads.p99_ms(proxy, folder, effort.seconds)


ROWS = (
    Row("h1", "HTTP/1.1, 1 KiB, 64 connections", "us", H1, cpu(h1("/1k")), 0.80),
    Row("h1-log", "the same with a JSON access log", "us", LOGGED, cpu(logged(h1("/1k"))), 0.80),
    Row("h2", "h2, 1 KiB, 16 connections x 32 streams", "us", H1, cpu(h2(32)), 0.75),
    Row("h2-log", "the same with a JSON access log", "us", LOGGED, cpu(logged(h2(32))), 0.75),
    Row("h2-few", "h2, 1 KiB, 16 connections x 4 streams", "us", H1, cpu(h2(4)), 0.95),
    Row("h2-h2c", "h2 to h2c, 1 KiB, 16 x 32", "us", H2C, cpu(h2(32)), 0.85, unable=("nginx",)),
    Row("h2-tls", "h2 to HTTP/1.1 over TLS, 1 KiB, 16 x 32", "us", TLS, cpu(h2(32)), 0.85, warm_up=warm_h2),
    Row("h1-64k", "HTTP/1.1, 64 KiB, 64 connections", "us", H1, cpu(h1("/64k")), 0.85),
    Row("download", "10 MiB download over h2", "us", H1, cpu(download), 0.75),
    Row("upload", "1 MiB upload over h2", "us", H1, uploads, 0.85),
    Row("tls13", "TLS 1.3 handshake, ECDSA, and a request", "us", H1, handshakes(), 0.92),
    Row("tls13-resumed", "TLS 1.3 resumption and a request", "us", H1, handshakes(resume=True), 0.90),
    Row("tls12-rsa", "TLS 1.2 handshake, RSA-2048, and a request", "us", RSA, handshakes(tls12=True), 0.97),
    Row("idle-h1", "memory of an idle HTTP/1.1 connection", "KiB", H1, idle("h1"), 1.00, "nginx", fresh=True),
    Row("idle-h2", "memory of an idle h2 connection", "KiB", H1, idle("h2"), 0.70, "nghttpx", fresh=True),
    Row("p99", "p99 at 6,000 requests/s over h2, Poisson", "ms", H1, p99, 1.00),
)
