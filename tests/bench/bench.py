"""Sallyport beside nginx, HAProxy and nghttpx: the same work, in one run. README.md has the method.

    bench.py [--quick] [--rounds N] [--seconds S] [--only ROW...] [--workers N...] [--json FILE]
             [--sallyport PATH] [--baseline PATH]
"""

import argparse
import contextlib
import dataclasses
import os
import pathlib
import platform
import resource
import shutil
import subprocess
import sys
import tempfile

import loads
import report
from loads import Effort
from processes import BenchError
from proxies import PEERS, Certificates, Column, Origins, Proxy
from report import Result
from scenarios import ROWS, Row

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOLS = ("wrk", "h2load", "nghttpd", "openssl", "taskset", *PEERS)
DESCRIPTORS = 16000  # idle connections, in the client and in the proxies


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Sallyport beside its peers.",
        epilog=f"rows:\n{report.names()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="one round of one second: does it run, not how fast")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="numbers per program and row (5)")
    parser.add_argument("--seconds", type=int, default=3, metavar="S", help="of load for a number (3)")
    parser.add_argument("--only", nargs="+", metavar="ROW", choices=[row.name for row in ROWS], help="these rows alone")
    parser.add_argument("--workers", nargs="+", type=int, default=[1], metavar="N", help="each row with so many (1)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all numbers there as well")
    parser.add_argument("--sallyport", type=pathlib.Path, metavar="PATH", default=ROOT / "build/release/sallyport")
    parser.add_argument("--baseline", type=pathlib.Path, metavar="PATH", help="another sallyport to compare with")
    chosen = parser.parse_args()
    if min(chosen.rounds, chosen.seconds, *chosen.workers) < 1:
        parser.error("--rounds, --seconds and --workers are whole numbers from 1")
    for binary in filter(None, (chosen.sallyport, chosen.baseline)):
        if not binary.is_file():
            parser.error(f"no program at {binary}")
    return chosen


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Bench:
    def __init__(self, columns: list[Column], effort: Effort, rounds: int, most_workers: int, folder: pathlib.Path):
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise BenchError("one core is not enough: the proxy has one, the load and the origin another")
        self._cores = cores
        load_core = cores[min(most_workers, len(cores) - 1)]
        os.sched_setaffinity(0, {load_core})  # and so every load that is started
        self._columns = columns
        self._effort = effort
        self._rounds = rounds
        self._folder = folder
        self._certs = Certificates(folder)
        self._origins = Origins(folder, self._certs, load_core)

    def close(self) -> None:
        self._origins.stop()

    def row(self, row: Row) -> Result:
        """Each round measures every program once, in turn. One that fails is out for the rest of the row."""
        columns = [column for column in self._columns if column.binary or column.name in row.peers()]
        result = Result(row, {column.name: [] for column in columns})
        with contextlib.ExitStack() as running:
            proxies: dict[str, Proxy] = {}
            out: set[str] = set()
            for turn in range(self._rounds):
                for column in columns:
                    value = None
                    if column.name not in out:
                        try:
                            value = self._number(row, column, proxies, running)
                        except BenchError as problem:
                            result.errors.append(str(problem))
                            out.add(column.name)
                    result.values[column.name].append(value)
        return result

    def _proxy_cores(self, workers: int) -> list[int]:
        """One a worker; on a machine with no more cores than that, one is the load's as well."""
        return self._cores[:workers]

    def _number(self, row: Row, column: Column, proxies: dict[str, Proxy], running: contextlib.ExitStack) -> float:
        proxy = proxies.get(column.name)
        first = proxy is None
        if first:
            folder = self._folder / row.name / column.name
            proxy = Proxy(column, row.variant, folder, self._certs, self._origins, self._proxy_cores(row.variant.workers))
            running.callback(proxy.stop)
            proxies[column.name] = proxy
        try:
            if first:
                loads.check(proxy, row.variant)
                if row.warm_up:
                    row.warm_up(proxy, self._effort)
            value = row.measure(proxy, self._effort, self._folder)
            proxy.program.check_alive()
        except BenchError as problem:  # the load saw errors; a crash is the better explanation
            raise BenchError(proxy.program.ended() or str(problem)) from None
        if row.fresh:
            proxies.pop(column.name).stop()
        return value


def with_workers(row: Row, workers: int) -> Row:
    if workers == 1:
        return row
    variant = dataclasses.replace(row.variant, workers=workers)
    return dataclasses.replace(row, name=f"{row.name}-{workers}", title=f"{row.title}, {workers} workers", variant=variant)


def versions(columns: list[Column]) -> dict[str, str]:
    shown = {}
    for column in columns:
        command = [column.binary, "version"] if column.binary else [column.name, "-v"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=10)
        shown[column.name] = done.stdout.strip().splitlines()[0] if done.stdout.strip() else "?"
    return shown


def main() -> int:
    chosen = arguments()
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # where Debian puts servers
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        say(f"missing: {' '.join(missing)} (./dev deps peers installs them)")
        return 1
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    allowed = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))

    columns = [Column("sallyport", str(chosen.sallyport.resolve()))]
    if chosen.baseline:
        columns.append(Column("baseline", str(chosen.baseline.resolve())))
    columns += [Column(peer) for peer in PEERS]
    effort = Effort(seconds=1, idle_connections=300) if chosen.quick else Effort(seconds=chosen.seconds)
    rounds = 1 if chosen.quick else chosen.rounds

    results = []
    with tempfile.TemporaryDirectory(prefix="sallyport-bench-") as folder:
        try:
            bench = Bench(columns, effort, rounds, max(chosen.workers), pathlib.Path(folder))
        except BenchError as problem:
            say(f"bench: {problem}")
            return 1
        try:
            rows = [row for row in ROWS if not chosen.only or row.name in chosen.only]
            for row in (with_workers(row, workers) for row in rows for workers in chosen.workers):
                say(f"== {row.name}: {row.title}")
                results.append(bench.row(row))
                for error in results[-1].errors:
                    say(f"   {error}")
        finally:
            bench.close()

    names = [column.name for column in columns]
    print(report.table(results, names))
    if chosen.json:
        about = {"machine": platform.platform(), "rounds": rounds, "seconds": effort.seconds,
                 "idle_connections": effort.idle_connections, "versions": versions(columns)}  # fmt: skip
        report.write_json(chosen.json, results, names, about)
    failed = [result.row.name for result in results if result.errors]
    if failed:
        say(f"failed: {' '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
