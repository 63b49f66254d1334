"""Ten thousand hosts, each with a certificate of its own, against one host, in the same run:

    hosts.py [--count N] [--rounds N] [--handshakes N] [--instructions] [--sallyport PATH]

The cost of a handshake, with a name drawn by lot for each; the time to start and to reload with nothing changed; the
memory after many reloads, of which every other changes something. README.md has what was found.
"""

import argparse
import datetime
import json
import os
import pathlib
import random
import re
import shutil
import signal
import statistics
import sys
import tempfile
import time

import instructions
import tlsclient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from processes import BenchError, Program, free_port
from proxies import Certificates, Origins, Place, Variant, sallyport

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 60  # seconds, for a start or a reload
STEP = 0.002
RELOADS = 20
COUNTED = 500  # hosts under callgrind, where the start of ten thousand would take half an hour
HANDSHAKE_BAR, START_BAR, RELOAD_BAR, MEMORY_BAR = 1.03, 5.0, 1.0, 1.02


class Hosts:
    """Certificates of ECDSA P-256 for host-00000.test and so on, from the bench's CA."""

    def __init__(self, certs: Certificates, folder: pathlib.Path, count: int):
        self._ca = x509.load_pem_x509_certificate(certs.ca.read_bytes())
        self._ca_key = serialization.load_pem_private_key((certs.folder / "ca.key").read_bytes(), None)
        self._folder = folder
        folder.mkdir()
        self.names = [f"host-{number:05}.test" for number in range(count)]
        for name in self.names:
            self._make(name)

    def entries(self, count: int) -> list[dict]:
        """The configuration's hosts: the first `count` of them."""
        return [
            {"names": [name], "routes": [{"upstream": "origin"}],
             "tls": {"certificates": [{"chain": str(self._folder / f"{name}.pem"),
                                       "key": str(self._folder / f"{name}.key")}]}}
            for name in self.names[:count]
        ]  # fmt: skip

    def _make(self, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.utcnow()
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._ca.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(self._ca_key, hashes.SHA256())
        )
        (self._folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        (self._folder / f"{name}.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))


class Gateway:
    """One with `count` hosts; knows how long its start took."""

    def __init__(self, binary: str, hosts: Hosts, count: int, folder: pathlib.Path, certs: Certificates, origins: Origins,
                 core: int):  # fmt: skip
        folder.mkdir()
        self.names = hosts.names[:count]
        self.port = free_port()
        command = sallyport(binary, Variant(), Place(folder, self.port, certs, origins))
        self._file = pathlib.Path(command[-1])
        self._config = json.loads(self._file.read_text()) | {"hosts": hosts.entries(count)}
        self._write()
        self._tls = tlsclient.context(str(certs.ca))
        begun = time.monotonic()
        self.program = Program(f"{count} hosts", command, [core], folder / "output.log", [self.port], patience=PATIENCE)
        try:
            self.program.wait_ready()
        except BenchError:
            self.program.stop()
            raise
        self.start_seconds = time.monotonic() - begun

    def warm_up(self) -> None:
        """Each host once: its first handshake makes its metrics."""
        for name in self.names:
            tlsclient.ask_and_close(tlsclient.connect(self.port, self._tls, name=name))

    def handshake_us(self, chance: random.Random, count: int) -> float:
        """CPU time of a full handshake and a request."""
        before = self.program.cpu_ns()
        for _ in range(count):
            tlsclient.ask_and_close(tlsclient.connect(self.port, self._tls, name=chance.choice(self.names)))
        return (self.program.cpu_ns() - before) / count / 1000

    def reload_seconds(self, change: bool = False) -> float:
        """Until it is in effect. A change is one of all hosts' defaults and back."""
        if change:
            limits = self._config["limits"]
            limits["connections"] = 20000 if limits["connections"] != 20000 else 19999
            self._write()
        seen = len(self._reloads())
        begun = time.monotonic()
        os.kill(self._pid(), signal.SIGHUP)
        while len(self._reloads()) == seen:
            self.program.check_alive()
            if time.monotonic() - begun > PATIENCE:
                raise BenchError(f"{self.program.name}: no reload; {self.program.tail()}")
            time.sleep(STEP)
        return time.monotonic() - begun

    def memory_mib(self) -> float:
        """Anonymous resident memory once it stands still."""
        history: list[int] = []
        while len(history) < 40 and len(set(history[-4:])) != 1 or len(history) < 4:
            history.append(self.program.anonymous_kib())
            time.sleep(0.25)
        return history[-1] / 1024

    def _write(self) -> None:
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps(self._config))
        part.rename(self._file)

    def _reloads(self) -> list[str]:
        return re.findall(r" reloaded generation=", self.program.log.read_text())

    def _pid(self) -> int:
        return self.program.pids()[0]  # taskset has become the gateway


def line(what: str, *cells: str) -> None:
    print(f"{what:44}", *(f"{cell:>12}" for cell in cells), flush=True)


def verdict(value: float, bar: float) -> str:
    return f"{bar:g} {'met' if value <= bar else 'MISSED'}"


def clock(chosen: argparse.Namespace, hosts: Hosts, folder: pathlib.Path, certs: Certificates, origins: Origins) -> None:
    core = sorted(os.sched_getaffinity(0))[0]
    binary = str(chosen.sallyport.resolve())
    running: list[Gateway] = []
    try:
        for count in (1, chosen.count):
            running.append(Gateway(binary, hosts, count, folder / f"clock-{count}", certs, origins, core))
        one, many = running
        line("", "1 host", f"{chosen.count} hosts", "bar")
        line("start, s", f"{one.start_seconds:.2f}", f"{many.start_seconds:.2f}", verdict(many.start_seconds, START_BAR))
        for gateway in running:
            gateway.warm_up()
        handshakes(one, many, chosen.rounds, chosen.handshakes)
        reloads(one, many)
    finally:
        for gateway in running:
            gateway.program.stop()


def handshakes(one: Gateway, many: Gateway, rounds: int, count: int) -> None:
    chance = random.Random(1)
    pairs = [(one.handshake_us(chance, count), many.handshake_us(chance, count)) for _ in range(rounds + 1)][1:]
    ratio = statistics.median(b / a for a, b in pairs)
    line("handshake and a request, us", *(f"{statistics.median(side):.1f}" for side in zip(*pairs)))
    line("ratio of the rounds, median", "", f"{ratio:.3f}", verdict(ratio, HANDSHAKE_BAR))


def reloads(one: Gateway, many: Gateway) -> None:
    both = (one, many)
    memory = [[gateway.memory_mib() for gateway in both]]
    times = [[gateway.reload_seconds()] for gateway in both]
    memory.append([gateway.memory_mib() for gateway in both])
    for gateway, mine in zip(both, times):
        mine += [gateway.reload_seconds(change=turn % 2 == 1) for turn in range(1, RELOADS)]
    memory.append([gateway.memory_mib() for gateway in both])
    line("reload with no change, s, median", *(f"{statistics.median(mine[::2]):.3f}" for mine in times),
         verdict(statistics.median(times[1][::2]), RELOAD_BAR))  # fmt: skip
    line("reload with a change, s, median", *(f"{statistics.median(mine[1::2]):.3f}" for mine in times))
    for what, mine in zip(("the start", "a reload", f"{RELOADS} reloads"), memory):
        line(f"memory after {what}, MiB", *(f"{mib:.1f}" for mib in mine))
    line("ratio of the last to the first", *(f"{after / before:.3f}" for after, before in zip(memory[2], memory[0])),
         verdict(memory[2][1] / memory[0][1], MEMORY_BAR))  # fmt: skip


def counted(chosen: argparse.Namespace, hosts: Hosts, counter: instructions.Counter) -> None:
    """The same handshakes under callgrind: to a tenth of a percent, on any machine."""
    each = []
    for count in (1, min(COUNTED, chosen.count)):
        names, chance = hosts.names[:count], random.Random(1)
        path = instructions.Path("hosts", "", instructions.handshakes(False, lambda: chance.choice(names)), 100,
                                 changes={"hosts": hosts.entries(count)})  # fmt: skip
        each.append(counter.each(str(chosen.sallyport.resolve()), path))
    line(f"instructions of it, 1 and {count} hosts", *(f"{one:,.0f}" for one in each))
    line("ratio", "", f"{each[1] / each[0]:.4f}", verdict(each[1] / each[0], HANDSHAKE_BAR))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Many hosts, each with its own certificate, against one.")
    parser.add_argument("--count", type=int, default=10000, metavar="N", help="of hosts (10000)")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="of handshakes (7)")
    parser.add_argument("--handshakes", type=int, default=300, metavar="N", help="a round (300)")
    parser.add_argument("--instructions", action="store_true", help="count the handshakes under callgrind as well")
    parser.add_argument("--sallyport", type=pathlib.Path, metavar="PATH", default=ROOT / "build/release/sallyport")
    chosen = parser.parse_args()
    if not chosen.sallyport.is_file():
        parser.error(f"no program at {chosen.sallyport}")
    if chosen.count < 2 or min(chosen.rounds, chosen.handshakes) < 1:
        parser.error("--count is a whole number from 2, --rounds and --handshakes from 1")
    return chosen


def main() -> int:
    chosen = arguments()
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # where Debian puts servers
    if chosen.instructions and not shutil.which("valgrind"):
        print("missing: valgrind (./dev deps bench installs it)", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="sallyport-bench-") as name:
        folder = pathlib.Path(name)
        try:
            counter = instructions.Counter(folder)
            try:
                os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})
                hosts = Hosts(counter.certs, folder / "hosts", chosen.count)
                clock(chosen, hosts, folder, counter.certs, counter.origins)
                if chosen.instructions:
                    counted(chosen, hosts, counter)
            finally:
                counter.close()
        except BenchError as problem:
            print(f"bench: {problem}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
