"""Loads on a proxy, all on the bench's own core: wrk, h2load and tlsclient.py. Each gives the number of
requests that were answered 200 and raises BenchError at the first other outcome: a program that fails fast is
not quick."""

import dataclasses
import http.client
import json
import pathlib
import random
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Callable

from processes import BenchError
from proxies import FILES, Proxy, Variant

CLIENT = pathlib.Path(__file__).with_name("tlsclient.py")
GRACE = 60  # seconds that a load may take beyond what it was asked for
BROWSER_WINDOW = 24  # bits: 16 MiB, as browsers announce


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much is done for one number."""

    seconds: int = 3  # of load
    idle_connections: int = 2000


def _run(command: list[str], seconds: float, grace: float = GRACE) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + grace, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise BenchError(f"{command[0]} did not end within {seconds + grace:.0f} s") from None
    if done.returncode:
        raise BenchError(f"{command[0]} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-200:]}")
    return done.stdout


def check(proxy: Proxy, variant: Variant) -> None:
    """One request before a row: the answer is right, so what is measured is the work that was meant."""
    tls = ssl.create_default_context(cafile=proxy.ca)
    connection = http.client.HTTPSConnection("localhost", proxy.port, timeout=10, context=tls)
    try:
        connection.request("GET", "/1k")
        answer = connection.getresponse()
        body = answer.read()
        shown = connection.sock.version() if connection.sock else None
    except OSError as error:
        raise BenchError(f"{proxy.name}: {error}; {proxy.program.tail()}") from None
    finally:
        connection.close()
    if (answer.status, len(body)) != (200, FILES["1k"]):
        raise BenchError(f"{proxy.name} answers {answer.status} with {len(body)} bytes")
    wanted = "TLSv1.2" if variant.rsa12 else "TLSv1.3"
    if shown not in (wanted, None):
        raise BenchError(f"{proxy.name} speaks {shown}")


def wrk(proxy: Proxy, path: str, connections: int, seconds: int) -> int:
    shown = _run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", proxy.url(path)], seconds)
    requests = re.search(r"(\d+) requests in", shown)
    problem = re.search(r"(Socket errors:.*|Non-2xx.*)", shown)
    if problem or not requests or requests.group(1) == "0":
        raise BenchError(f"wrk on {proxy.name}: {problem.group(1) if problem else 'no request was answered'}")
    return int(requests.group(1))


def h2load(proxy: Proxy, path: str, connections: int, streams: int, *, seconds: int = 0, requests: int = 0,
           upload: pathlib.Path | None = None, h1: bool = False, grace: float = GRACE) -> int:  # fmt: skip
    """For a time, or for a number of requests where one that is cut off at the end would count."""
    command = ["h2load", f"-c{connections}", f"-m{streams}"]
    command += ["--h1"] if h1 else [f"-w{BROWSER_WINDOW}", f"-W{BROWSER_WINDOW}"]
    command += [f"-D{seconds}"] if seconds else [f"-n{requests}"]
    if upload:
        command += ["-d", str(upload)]
    return _succeeded(proxy, _run([*command, proxy.url(path)], seconds or requests / 20, grace))


def _succeeded(proxy: Proxy, shown: str) -> int:
    line = re.search(r"requests:.*?(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", shown)
    codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", shown)
    if not line or not codes:
        raise BenchError(f"h2load on {proxy.name}: {shown.strip()[-200:]}")
    if any(int(count) for count in (*line.groups()[1:], *codes.groups()[1:])) or line.group(1) == "0":
        raise BenchError(f"h2load on {proxy.name}: {line.group(0)}; {codes.group(0)}")
    return int(line.group(1))


def handshakes(proxy: Proxy, seconds: int, *, resume: bool = False, tls12: bool = False, clients: int = 4) -> int:
    command = [sys.executable, "-B", str(CLIENT), "handshakes", "--port", str(proxy.port), "--ca", str(proxy.ca),
               "--seconds", str(seconds)]  # fmt: skip
    command += ["--resume"] * resume + ["--tls12"] * tls12
    results = [json.loads(shown) for shown in _together([command] * clients, seconds)]
    errors = [error for result in results for error in result["errors"]]
    if errors:
        raise BenchError(f"handshakes with {proxy.name}: {len(errors)} failed, the first with: {errors[0]}")
    return sum(result["requests"] for result in results)


def _together(commands: list[list[str]], seconds: float) -> list[str]:
    """Runs them side by side and gives what each printed."""
    running = [
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for command in commands
    ]
    shown = []
    deadline = time.monotonic() + seconds + GRACE
    try:
        for process in running:
            out, error = process.communicate(timeout=max(0.1, deadline - time.monotonic()))
            if process.returncode:
                raise BenchError(f"{process.args[0]} ended with {process.returncode}: {(error or out).strip()[-200:]}")
            shown.append(out)
    except subprocess.TimeoutExpired:
        raise BenchError(f"{commands[0][0]} did not end within {seconds + GRACE:.0f} s") from None
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
                process.wait()
    return shown


def idle_kib(proxy: Proxy, protocol: str, count: int) -> float:
    """Growth of the proxy's memory by `count` connections that asked once and then wait, per connection."""
    _hold(proxy, protocol, 20)  # what the first connections set up once
    before = _settled_kib(proxy)
    return (_hold(proxy, protocol, count) - before) / count


def _hold(proxy: Proxy, protocol: str, count: int) -> int:
    command = [sys.executable, "-B", str(CLIENT), "idle", "--port", str(proxy.port), "--ca", str(proxy.ca),
               "--count", str(count), "--protocol", protocol]  # fmt: skip
    client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        opened = client.stdout.readline()  # the client's own time-outs bound this
        if not opened:
            raise BenchError(f"idle connections to {proxy.name}: {client.stderr.read().strip()[-200:]}")
        return _settled_kib(proxy)
    finally:
        try:
            client.communicate(timeout=GRACE)
        except subprocess.TimeoutExpired:
            client.kill()
            client.wait()


def settles(happened: Callable[[], bool]) -> bool:
    """Whether it is so within 3 s: log writers of all programs are given their time."""
    deadline = time.monotonic() + 3
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _settled_kib(proxy: Proxy) -> int:
    """Once it has not changed for a second (buffers are given back after an idle tick), 6 s at most."""
    history: list[int] = []
    while len(history) < 24:
        history.append(proxy.program.anonymous_kib())
        if len(history) > 4 and len(set(history[-5:])) == 1:
            break
        time.sleep(0.25)
    return history[-1]


def p99_ms(proxy: Proxy, folder: pathlib.Path, seconds: int, rate: int = 6000, clients: int = 8) -> float:
    """The 99th percentile of the time to a whole answer, at Poisson arrivals that do not wait for answers
    (up to 100 streams on each of the connections), as `clients` independent streams of them."""
    commands = []
    logs = []
    for client in range(clients):
        chance = random.Random(client)  # the same arrivals for all
        script, log = folder / f"arrivals{client}", folder / f"times{client}"
        log.unlink(missing_ok=True)
        at, lines = 0.0, []
        while at < seconds * 1000:
            lines.append(f"{at:.3f}\t{proxy.url('/1k')}\n")
            at += chance.expovariate(rate / clients / 1000)
        script.write_text("".join(lines))
        logs.append(log)
        commands.append(["h2load", "-c1", "-m100", f"-n{len(lines)}", f"--timing-script-file={script}",
                         f"--log-file={log}"])  # fmt: skip
    for shown in _together(commands, seconds):
        _succeeded(proxy, shown)
    times = sorted(int(line.split("\t")[2]) for log in logs for line in log.read_text().splitlines())
    if not times:
        raise BenchError(f"h2load wrote no times for {proxy.name}")
    return times[int(len(times) * 0.99)] / 1000
