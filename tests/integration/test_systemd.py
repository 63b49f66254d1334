"""What the service manager is told, heard on a notify socket of the test's own: a unit of
Type=notify-reload waits for exactly these messages."""

import os
import re
import signal
import socket
import time

import pytest
from harness import config
from harness.clients import curl


class Notify:
    """A datagram socket that gathers what is sent to it, message by message."""

    def __init__(self, address: str):
        self.address = address
        self.seen: list[dict] = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(30)

    def wait(self, key: str, value: str | None = None) -> dict:
        """The next message that says so; those before it are kept in `seen`."""
        while True:
            message = dict(line.split("=", 1) for line in self.socket.recv(65536).decode().splitlines())
            self.seen.append(message)
            if key in message and value in (None, message[key]):
                return message


@pytest.fixture(params=["path", "abstract"])
def notify(request, tmp_path):
    address = str(tmp_path / "notify") if request.param == "path" else f"@sallyport-test-{os.getpid()}"
    listener = Notify(address)
    yield listener
    listener.socket.close()


def made(certs, origin, tmp_path, **changes):
    return config.basic([certs.localhost], [origin.endpoint()], tmp_path, **changes)


def test_ready_reloading_stopping(gateway, origin, certs, tmp_path, notify):
    begun = time.monotonic()
    gw = gateway(made(certs, origin, tmp_path), env={"NOTIFY_SOCKET": notify.address})
    notify.wait("READY", "1")
    # READY means that it serves: no wait stands between it and the request.
    assert curl(gw.url("/echo"), cacert=certs.ca.pem).status == 200

    gw.signal(signal.SIGHUP)
    reloading = notify.wait("RELOADING", "1")
    at = int(reloading["MONOTONIC_USEC"]) / 1e6
    assert begun <= at <= time.monotonic()  # same clock, and of this reload
    notify.wait("READY", "1")
    assert any("generation 2" in message.get("STATUS", "") for message in notify.seen)

    gw.signal(signal.SIGTERM)
    notify.wait("STOPPING", "1")
    gw.wait_exit()


def test_a_rejected_reload_ends_as_ready_and_tells_why(gateway, origin, certs, tmp_path, notify):
    """Without READY=1 the service manager would hold the reload for failed, and kill the service."""
    gw = gateway(made(certs, origin, tmp_path), env={"NOTIFY_SOCKET": notify.address})
    notify.wait("READY", "1")
    gw.write_config(made(certs, origin, tmp_path, nonsense=True))
    gw.signal(signal.SIGHUP)
    notify.wait("RELOADING", "1")
    assert "unknown key" in notify.wait("STATUS")["STATUS"]
    notify.wait("READY", "1")
    assert curl(gw.url("/echo"), cacert=certs.ca.pem).status == 200


def test_ready_comes_after_the_start_and_not_from_a_failed_one(gateway, origin, certs, tmp_path, notify):
    bad = made(certs, origin, tmp_path)
    bad["hosts"][0]["tls"]["certificates"][0]["key"] = str(tmp_path / "missing.key")
    failed = gateway(bad, ready=False, env={"NOTIFY_SOCKET": notify.address})
    assert re.search(r"missing\.key", failed.expect_exit(1))
    notify.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        notify.socket.recv(1)


def test_the_watchdog_is_fed_at_half_its_interval(gateway, origin, certs, tmp_path, notify):
    gw = gateway(
        made(certs, origin, tmp_path), env={"NOTIFY_SOCKET": notify.address, "WATCHDOG_USEC": "400000"}
    )
    notify.wait("READY", "1")
    begun = time.monotonic()
    for _ in range(3):
        notify.wait("WATCHDOG", "1")
    assert time.monotonic() - begun >= 0.2  # by the clock, not in a rush
    assert gw.child.poll() is None


def test_a_watchdog_that_is_another_process_s_is_not_fed(gateway, origin, certs, tmp_path, notify):
    env = {"NOTIFY_SOCKET": notify.address, "WATCHDOG_USEC": "50000", "WATCHDOG_PID": "1"}
    gw = gateway(made(certs, origin, tmp_path), env=env)
    notify.wait("READY", "1")
    gw.signal(signal.SIGTERM)
    notify.wait("STOPPING", "1")
    assert not any("WATCHDOG" in message for message in notify.seen)


def test_a_notify_socket_that_is_gone_disturbs_nothing(gateway, origin, certs, tmp_path):
    gw = gateway(made(certs, origin, tmp_path), env={"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    assert gw.reload()
    assert curl(gw.url("/echo"), cacert=certs.ca.pem).status == 200
