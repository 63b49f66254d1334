"""What a request costs in instructions of the gateway's own process, against the numbers that were recorded:

    instructions.py [--only PATH...] [--rounds N] [--sallyport PATH] [--baseline PATH...] [--record]
    instructions.py --two-workers [--only PATH...] [--rounds N] [--sallyport PATH]

For differences that a clock cannot see: valgrind counts every instruction outside the kernel, whatever else the
machine does. Each number is of two runs, one of some requests and one of three times as many: their difference
leaves out the start, the connections and the end. README.md has the method and what was found.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable

import loads
import tlsclient
from processes import BenchError, Program, free_port
from proxies import KIB, Certificates, Origins, Place, Variant, sallyport

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECORD = pathlib.Path(__file__).with_suffix(".json")
PATIENCE = 300  # seconds; under valgrind everything takes fifty times as long
TWO_WORKERS = ("h1", "h2", "full", "resumed")
TWO_WORKERS_BAR = 1.02


# ---- the paths ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Path:
    """One way through the gateway. `count` requests are enough to count them to half a percent."""

    name: str
    title: str
    load: Callable[["Gateway", int], None]
    count: int
    variant: Variant = Variant()
    changes: dict = dataclasses.field(default_factory=dict)  # sections of the configuration that are replaced
    tls: dict = dataclasses.field(default_factory=dict)  # laid over its tls section
    extra: bool = False  # measured only when it is named


def h1(path: str) -> Callable[["Gateway", int], None]:
    return lambda gateway, count: loads.h2load(gateway, path, 64 * gateway.workers, 1, requests=count, h1=True,
                                               grace=PATIENCE)  # fmt: skip


def h2(path: str, connections: int, streams: int, warm_up: int = 0) -> Callable[["Gateway", int], None]:
    """Some requests first where as many upstream connections are needed as there are streams: how soon all are open
    is chance, and no part of what a kept one costs."""

    def load(gateway: "Gateway", count: int) -> None:
        for requests in filter(None, (warm_up, count)):
            loads.h2load(gateway, path, connections * gateway.workers, streams, requests=requests, grace=PATIENCE)

    return load


def upload(gateway: "Gateway", count: int) -> None:
    body = gateway.folder / "upload.body"
    body.write_bytes(bytes(KIB * KIB))
    loads.h2load(gateway, "/sink", 8, 2, requests=count, upload=body, grace=PATIENCE)


def handshakes(resume: bool, name: Callable[[], str] = lambda: "localhost",
               tls12: bool = False) -> Callable[["Gateway", int], None]:  # fmt: skip
    def load(gateway: "Gateway", count: int) -> None:
        tls = tlsclient.context(str(gateway.ca), tls12)
        session = None
        for _ in range(count):
            connection = tlsclient.connect(gateway.port, tls, session, name())
            if connection.session_reused != (session is not None):
                raise BenchError("not resumed" if session else "resumed without being asked")
            kept = tlsclient.ask_and_close(connection)
            session = kept if resume else None

    return load


LOGGED = Variant(access_log=True)
WARM_UP = 4000
PATHS = (
    Path("h1", "HTTP/1.1, 1 KiB, 64 connections", h1("/1k"), 3000),
    Path("h1-log", "the same with a JSON access log", h1("/1k"), 3000, LOGGED),
    Path("h2", "h2, 1 KiB, 16 connections x 32 streams", h2("/1k", 16, 32, WARM_UP), 8000),
    Path("h2-log", "the same with a JSON access log", h2("/1k", 16, 32, WARM_UP), 8000, LOGGED),
    Path("h2-few", "h2, 1 KiB, 16 connections x 4 streams", h2("/1k", 16, 4), 4000),
    Path("h2-h2c", "h2 to h2c, 1 KiB, 16 x 32", h2("/1k", 16, 32), 8000, Variant(upstream="h2c")),
    Path("h2-tls", "h2 to HTTP/1.1 over TLS, 1 KiB, 16 x 32", h2("/1k", 16, 32, WARM_UP), 8000, Variant(upstream="tls")),
    Path("h1-64k", "HTTP/1.1, 64 KiB, 64 connections", h1("/64k"), 1000),
    Path("download", "10 MiB download over h2", h2("/10m", 4, 2), 4),
    Path("upload", "1 MiB upload over h2", upload, 48),
    Path("full", "TLS 1.3 handshake, ECDSA, and a request", handshakes(False), 150),
    Path("resumed", "TLS 1.3 resumption and a request", handshakes(True), 150),
    Path("full-tls12", "TLS 1.2 handshake, ECDSA, and a request", handshakes(False, tls12=True), 150, extra=True),
    Path("resumed-tls12", "TLS 1.2 resumption and a request", handshakes(True, tls12=True), 150, extra=True),
    Path("full-rsa-tls12", "TLS 1.2 handshake, RSA, and a request", handshakes(False, tls12=True), 150,
         Variant(rsa12=True), extra=True),
    Path("full-samples", "full, a thousandth sampled", handshakes(False), 150,
         tls={"samples": {"one_in": 1000}}, extra=True),
    Path("full-samples-all", "full, each sampled", handshakes(False), 150,
         tls={"samples": {"one_in": 1, "per_second": 1000000}}, extra=True),
    Path("full-log", "full, with a JSON access log", handshakes(False), 150, LOGGED, extra=True),
    Path("full-health", "full, with health.header", handshakes(False), 150, tls={"health": {"header": True}},
         extra=True),
)  # fmt: skip


# ---- counting ----------------------------------------------------------------------------------


class Gateway:
    """A gateway under callgrind, as the loads know a proxy."""

    def __init__(self, binary: str, path: Path, folder: pathlib.Path, certs: Certificates, origins: Origins, core: int):
        folder.mkdir(parents=True)
        self.name = "sallyport"
        self.folder = folder
        self.ca = certs.ca
        self.workers = path.variant.workers  # so many times the connections: each worker has its load
        self.port = free_port()
        self._log = folder / "valgrind.log"
        command = sallyport(binary, path.variant, Place(folder, self.port, certs, origins))
        file = pathlib.Path(command[-1])
        config = json.loads(file.read_text()) | path.changes
        config["tls"].update(path.tls)
        waits = f"{PATIENCE}s"
        config["timeouts"] = {"handshake": waits}
        config["upstreams"]["origin"]["timeouts"] = {"connect": waits, "tls": waits, "first_byte": waits}
        file.write_text(json.dumps(config))
        counted = ["valgrind", "--tool=callgrind", "--fair-sched=yes", f"--log-file={self._log}",
                   f"--callgrind-out-file={folder / 'callgrind.out'}", *command]  # fmt: skip
        self.program = Program(self.name, counted, [core], folder / "output.log", [self.port], patience=PATIENCE)

    def url(self, path: str) -> str:
        return f"https://localhost:{self.port}{path}"

    def instructions(self) -> int:
        """All of its life; ends it."""
        self.program.stop()
        found = re.search(r"Collected : (\d+)", self._log.read_text())
        if not found:
            raise BenchError(f"no count in valgrind's log; {self.program.tail()}")
        return int(found.group(1))


class Counter:
    def __init__(self, folder: pathlib.Path, rounds: int = 1):
        cores = sorted(os.sched_getaffinity(0))
        self._core = cores[0]
        self._folder = folder
        self._rounds = rounds
        self._runs = 0
        self.certs = Certificates(folder)
        self.origins = Origins(folder, self.certs, cores[-1])

    def close(self) -> None:
        self.origins.stop()

    def each(self, binary: str, path: Path) -> float:
        """Instructions per request of that path; the median of the rounds."""
        found = []
        for _ in range(self._rounds):
            few, many = (self._total(binary, path, count) for count in (path.count, 3 * path.count))
            found.append((many - few) / (2 * path.count))
        return statistics.median(found)

    def _total(self, binary: str, path: Path, count: int) -> int:
        self._runs += 1
        gateway = Gateway(binary, path, self._folder / f"{path.name}-{self._runs}", self.certs, self.origins, self._core)
        try:
            gateway.program.wait_ready()
            path.load(gateway, count)
            return gateway.instructions()
        except OSError as error:
            raise BenchError(f"{path.name}: {error}; {gateway.program.tail()}") from None
        finally:
            gateway.program.stop()


# ---- what was recorded -------------------------------------------------------------------------


def environment(binary: str) -> tuple[str, dict[str, str]]:
    """The libraries and the compiler decide the numbers: the key of a record, and what it was made with."""
    release = platform.freedesktop_os_release()
    version = subprocess.run([binary, "version"], capture_output=True, text=True, timeout=10).stdout
    openssl = re.search(r"OpenSSL (\d+\.\d+)\.\S+", version)
    valgrind = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, timeout=30).stdout.strip()
    if not openssl:
        raise BenchError(f"`{binary} version` names no OpenSSL: {version.strip()}")
    key = f"{release['ID']} {release.get('VERSION_ID', '')}, OpenSSL {openssl.group(1)}, {platform.machine()}"
    return key, {"gateway": version.splitlines()[0], "openssl": openssl.group(0), "valgrind": valgrind}


def recorded(file: pathlib.Path) -> dict:
    return json.loads(file.read_text()) if file.exists() else {}


def record(file: pathlib.Path, key: str, about: dict[str, str], name: str, count: float) -> None:
    """Puts in what was measured; other environments and paths stay."""
    known = recorded(file)
    merged = known.get(key, {}).get("paths", {}) | {name: round(count)}
    order = {path.name: at for at, path in enumerate(PATHS)}
    known[key] = {**about, "paths": dict(sorted(merged.items(), key=lambda item: order.get(item[0], len(order))))}
    file.write_text(json.dumps(known, indent=1) + "\n")


def moved(before: float | None, now: float) -> str:
    return f"{(now / before - 1) * 100:+.1f} %" if before else "new"


# ---- the tool ----------------------------------------------------------------------------------


def line(title: str, *cells: str) -> None:
    print(f"{title:42}", *(f"{cell:>12}" for cell in cells), flush=True)


def shown(count: float | None) -> str:
    return f"{count:,.0f}" if count else "-"


def compare(chosen: argparse.Namespace, counter: Counter) -> None:
    key, about = environment(str(chosen.sallyport))
    known = recorded(chosen.file).get(key, {})
    then = known.get("paths", {})
    print(f"{key}; recorded with {known['openssl']}, {known['valgrind']}: {known['gateway']}" if known else
          f"{key}: nothing is recorded for it yet, --record does it")  # fmt: skip
    others = [f"/{binary.parent.name}"[:12] for binary in chosen.baseline]
    line("instructions per request", "recorded", "now", "moved", *others)
    for path in chosen.paths:
        now = counter.each(str(chosen.sallyport), path)
        before = [counter.each(str(binary), path) for binary in chosen.baseline]
        line(path.title, shown(then.get(path.name)), shown(now), moved(then.get(path.name), now),
             *(moved(each, now) for each in before))  # fmt: skip
        if chosen.record:
            record(chosen.file, key, about, path.name, now)


def two_workers(chosen: argparse.Namespace, counter: Counter) -> bool:
    """Whether two workers cost as much as one: what they share is paid for in instructions, too."""
    met = True
    line("instructions per request", "one worker", "two", "ratio", "bar")
    for path in chosen.paths:
        one, two = (
            counter.each(str(chosen.sallyport), dataclasses.replace(path, variant=variant))
            for variant in (path.variant, dataclasses.replace(path.variant, workers=2))
        )
        within = two / one <= TWO_WORKERS_BAR
        met = met and within
        line(path.title, shown(one), shown(two), f"{two / one:.3f}", f"{TWO_WORKERS_BAR}, {'met' if within else 'MISSED'}")
    return met


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Instructions per request of Sallyport, under callgrind.",
        epilog="paths:\n" + "\n".join(f"  {path.name:<18} {path.title}" for path in PATHS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [path.name for path in PATHS]
    parser.add_argument("--only", nargs="+", metavar="PATH", choices=names, help="these paths alone")
    parser.add_argument("--record", action="store_true", help="write what is measured into the record")
    parser.add_argument("--two-workers", action="store_true", help="two workers against one, instead")
    parser.add_argument("--baseline", nargs="+", type=pathlib.Path, default=[], metavar="PATH",
                        help="other sallyports to compare with")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="the median of so many (1)")
    parser.add_argument("--scale", type=float, default=1, metavar="X", help="so many times the usual requests (1)")
    parser.add_argument("--sallyport", type=pathlib.Path, metavar="PATH", default=ROOT / "build/release/sallyport")
    parser.add_argument("--file", type=pathlib.Path, metavar="FILE", default=RECORD, help="another record")
    chosen = parser.parse_args()
    if chosen.rounds < 1 or chosen.scale <= 0:
        parser.error("--rounds is a whole number from 1, --scale more than 0")
    for binary in (chosen.sallyport, *chosen.baseline):
        if not binary.is_file():
            parser.error(f"no program at {binary}")
    usual = TWO_WORKERS if chosen.two_workers else [path.name for path in PATHS if not path.extra]
    wanted = chosen.only or usual
    # At least as many as the largest load has connections.
    chosen.paths = [dataclasses.replace(path, count=max(round(path.count * chosen.scale), min(path.count, 128)))
                    for path in PATHS if path.name in wanted]  # fmt: skip
    return chosen


def main() -> int:
    chosen = arguments()
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # where Debian puts servers
    missing = [tool for tool in ("valgrind", "h2load", "nghttpd", "nginx", "openssl") if not shutil.which(tool)]
    if missing:
        print(f"missing: {' '.join(missing)} (./dev deps peers bench installs them)", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="sallyport-bench-") as folder:
        try:
            counter = Counter(pathlib.Path(folder), chosen.rounds)
            try:
                if chosen.two_workers:
                    return 0 if two_workers(chosen, counter) else 1
                compare(chosen, counter)
            finally:
                counter.close()
        except BenchError as problem:
            print(f"bench: {problem}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
