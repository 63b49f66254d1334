"""Programs that the bench starts: pinned to their cores, ended by process id, their CPU time and memory read
from /proc. A program counts with all its threads and children, so that nginx's worker or a log thread
cannot hide."""

import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import time

START_SECONDS = 10
STOP_SECONDS = 5
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None)


class BenchError(Exception):
    """A row, or one program's part of it, that cannot be measured; the text says why."""


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _read(path: str) -> str:
    """A file of /proc; empty once its process or thread is gone."""
    try:
        return pathlib.Path(path).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except (FileNotFoundError, ProcessLookupError):
        return []


class Program:
    """A running server. Its output goes to `log`; `ready_ports` are awaited by wait_ready(). `patience` in seconds
    is for one that starts and ends slowly."""

    def __init__(self, name: str, command: list[str], cores: list[int], log: pathlib.Path, ready_ports: list[int],
                 patience: float = 0):  # fmt: skip
        self.name = name
        self._start_seconds = patience or START_SECONDS
        self._stop_seconds = patience or STOP_SECONDS
        self.log = log
        self.ready_ports = ready_ports
        with log.open("ab") as out:
            self._child = subprocess.Popen(
                ["taskset", "-c", ",".join(map(str, cores)), *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent,
                start_new_session=True,
            )

    def wait_ready(self) -> "Program":
        deadline = time.monotonic() + self._start_seconds
        for port in self.ready_ports:
            while True:
                self.check_alive()
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise BenchError(f"{self.name} does not listen: {self.tail()}") from None
                    time.sleep(0.02)
        return self

    def check_alive(self) -> None:
        if self._child.poll() is not None:
            raise BenchError(self.ended())

    def ended(self) -> str:
        """How it ended, if it did; a crash takes the kernel a moment."""
        try:
            status = self._child.wait(0.5)
        except subprocess.TimeoutExpired:
            return ""
        return f"{self.name} ended with status {status}: {self.tail()}"

    def tail(self) -> str:
        """The end of its output, in one line."""
        return " | ".join(self.log.read_text(errors="replace").strip().splitlines()[-5:])[-600:]

    def pids(self) -> list[int]:
        found = [self._child.pid]
        for pid in found:  # grows while it is walked: children follow their parents
            for thread in _threads(pid):
                found += [int(child) for child in _read(f"/proc/{pid}/task/{thread}/children").split()]
        return found

    def cpu_ns(self) -> int:
        """Nanoseconds on a CPU so far, user and kernel."""
        total = 0
        for pid in self.pids():
            for thread in _threads(pid):
                times = _read(f"/proc/{pid}/task/{thread}/schedstat").split()
                total += int(times[0]) if times else 0
        return total

    def anonymous_kib(self) -> int:
        """Resident anonymous memory; shared libraries and files are not in it."""
        total = 0
        for pid in self.pids():
            for line in _read(f"/proc/{pid}/status").splitlines():
                if line.startswith("RssAnon:"):
                    total += int(line.split()[1])
        return total

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for what is left of it after a while."""
        family = self.pids()
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(self._stop_seconds)
            except subprocess.TimeoutExpired:
                for pid in family:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                self._child.wait(STOP_SECONDS)
