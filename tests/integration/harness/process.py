"""A program under test: its start until it says that it is ready, its log, its end."""

import json
import os
import pathlib
import re
import select
import signal
import subprocess
import time

# Generous, for sanitizer builds on a busy machine; a healthy run needs a fraction.
PATIENCE = 30.0
STEP = 0.02

SANITIZER = re.compile(r"(ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error: )")

SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=1:exitcode=99:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "exitcode=66:second_deadlock_stack=1",
}


def wait_until(condition, what: str, timeout: float = PATIENCE, process: "Process | None" = None):
    """Asks until the condition gives something true, which is returned. If the process ends
    meanwhile, or the time is up, the test fails with `what`."""
    watched = [process.pidfd] if process else []
    for _ in range(int(timeout / STEP)):
        value = condition()
        if value:
            return value
        ended, _, _ = select.select(watched, [], [], STEP)
        if ended:
            value = condition()
            if value:
                return value
            raise AssertionError(f"{process.name} ended while waiting for {what}:\n{process.log()}")
    raise AssertionError(f"no {what} within {timeout} s" + (f":\n{process.log()}" if process else ""))


class Process:
    """Runs `command`, which writes `ports_file` as JSON once it is ready."""

    def __init__(self, name, command, folder: pathlib.Path, env=None):
        self.name = name
        self.folder = folder
        self.ports_file = folder / f"{name}.ports.json"
        self.log_file = folder / f"{name}.log"
        self.ports = {}
        self._checked = False
        with open(self.log_file, "ab") as log:
            self.child = subprocess.Popen(
                [*map(str, command), "--ports-file", str(self.ports_file)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **SANITIZER_OPTIONS, **(env or {})},
            )  # fmt: skip
        self.pidfd = os.pidfd_open(self.child.pid)

    def wait_ready(self):
        wait_until(self.ports_file.exists, f"start of {self.name}", process=self)
        self.ports = json.loads(self.ports_file.read_text())
        return self

    @property
    def pid(self) -> int:
        return self.child.pid

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def wait_log(self, pattern: str, after: int = 0, timeout: float = PATIENCE) -> str:
        """The first match of a regular expression in the log, from offset `after` on."""
        found = wait_until(lambda: re.search(pattern, self.log()[after:]), f"log line /{pattern}/", timeout, self)
        return found.group(0)

    def signal(self, number: int) -> None:
        self.child.send_signal(number)

    def rss_kib(self) -> int:
        """Resident memory now."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1))

    def cpu_seconds(self) -> float:
        """CPU time of all its threads so far, as exact as the scheduler's own clock."""
        return time.clock_gettime((~self.pid << 3) | 2)  # clock_getcpuclockid(3)

    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def wait_exit(self, timeout: float = PATIENCE) -> int:
        """The exit status, once it has ended by itself or by a signal that the test sent."""
        try:
            status = self.child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {timeout} s:\n{self.log()}") from None
        report = SANITIZER.search(self.log())
        assert not report, f"{self.name}: sanitizer report\n{self.log()}"
        return status

    def stop(self, timeout: float = PATIENCE) -> None:
        """Ends it by SIGTERM, which must give exit status 0. Once is enough."""
        if self._checked:
            return
        self._checked = True
        try:
            if self.child.poll() is None:
                self.signal(signal.SIGTERM)
            status = self.wait_exit(timeout)
            assert status == 0, f"{self.name} ended with {status}:\n{self.log()}"
        finally:
            self.kill()

    def expect_exit(self, status: int, timeout: float = PATIENCE) -> str:
        """For a program that is to end by itself: checks its status and gives its log."""
        self._checked = True
        try:
            found = self.wait_exit(timeout)
            assert found == status, f"{self.name} ended with {found}, not {status}:\n{self.log()}"
            return self.log()
        finally:
            self.kill()

    def kill(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
