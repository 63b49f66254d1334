"""What a TLS handshake, with one request behind it, costs in instructions of the gateway's own process:

    instructions.py SALLYPORT... [--count 400]

For differences that the bench's clock cannot see: valgrind counts every instruction outside the kernel, so two
builds or two settings compare to a tenth of a percent, whatever else the machine does. Each number is of two
runs, one of `count` handshakes and one of three times as many: their difference leaves start and end out.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from proxies import Certificates
from tlsclient import ask_and_close, connect, context

PATIENCE = 120  # seconds; under valgrind everything takes fifty times as long

# What is added to the configuration; a build that does not know it is left out of that line.
SETTINGS = {
    "as it is": {},
    "samples one in 1000": {"samples": {"one_in": 1000}},
    "samples all": {"samples": {"one_in": 1, "per_second": 1000000}},
    "header": {"health": {"header": True}},
}


def configuration(folder: pathlib.Path, certs: Certificates, tls: dict, access: bool) -> dict:
    reply = {"reply": {"status": 200, "body": "x" * 100}}
    return {
        "version": 1,
        "workers": 1,
        "listeners": [{"name": "https", "address": "127.0.0.1:0"}],
        "access_log": {"path": str(folder / "access.jsonl") if access else "off"},
        "tls": {"roots": str(certs.ca), **tls},
        "hosts": [{
            "names": ["localhost"],
            "tls": {"certificates": [{"chain": str(folder / "ecdsa.pem"), "key": str(folder / "ecdsa.key")}]},
            "routes": [reply],
        }],
    }  # fmt: skip


def handshakes(port: int, ca: pathlib.Path, count: int, resume: bool) -> None:
    tls = context(str(ca))
    session = None
    for _ in range(count):
        connection = connect(port, tls, session)
        if connection.session_reused != (session is not None):
            raise SystemExit("not resumed" if session else "resumed without being asked")
        ask_and_close(connection)
        if resume:
            session = connection.session


def instructions(binary: str, folder: pathlib.Path, ca: pathlib.Path, count: int, resume: bool) -> int:
    ports = folder / "ports.json"
    ports.unlink(missing_ok=True)
    log = folder / "valgrind.log"
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder / 'callgrind.out'}", f"--log-file={log}",
               binary, "run", "-c", str(folder / "bench.yaml"), "--ports-file", str(ports)]  # fmt: skip
    with (folder / "gateway.log").open("ab") as output:
        gateway = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + PATIENCE
        while not ports.exists():
            if gateway.poll() is not None or time.monotonic() > deadline:
                raise SystemExit((folder / "gateway.log").read_text()[-2000:])
            time.sleep(0.05)
        handshakes(json.loads(ports.read_text())["listeners"]["https"], ca, count, resume)
    finally:
        gateway.terminate()
        gateway.wait(PATIENCE)
    return int(re.search(r"Collected : (\d+)", log.read_text()).group(1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binaries", nargs="+")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--only", choices=SETTINGS, nargs="*", default=list(SETTINGS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        certs = Certificates(folder)
        for access in (False, True):
            for setting in arguments.only:
                made = configuration(folder, certs, SETTINGS[setting], access)
                (folder / "bench.yaml").write_text(json.dumps(made))
                for resume in (False, True):
                    for binary in arguments.binaries:
                        few, many = (
                            instructions(binary, folder, certs.ca, count, resume)
                            for count in (arguments.count, 3 * arguments.count)
                        )
                        each = (many - few) / (2 * arguments.count)
                        print(f"{'resumed' if resume else 'full':8}{'access log' if access else '':11}{setting:20}"
                              f"{each:12,.0f}  {binary}")  # fmt: skip
                        sys.stdout.flush()


if __name__ == "__main__":
    main()
