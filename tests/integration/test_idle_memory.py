"""What a connection holds that has asked once and then waits: bounds somewhat above what the bench measures, so that
no buffer and no table comes to stay."""

import subprocess
import time

import pytest
from harness import config
from harness.clients import read_until, tls, tls_context
from harness.h2client import H2Client

CONNECTIONS = 300
KIB = {"http/1.1": 4, "h2": 11.5}  # 3.3 and 10.4 with OpenSSL 3.0 and nghttp2 1.52
QUIET = 20  # readings in a row that are the same, of one each 50 ms: it gives back what it can within 200 ms


def standing_still(gw) -> int:
    """Resident memory in KiB once it no longer changes."""
    seen = []
    while len(seen) < 200 and (len(seen) < QUIET or len(set(seen[-QUIET:])) > 1):
        seen.append(gw.rss_kib())
        time.sleep(0.05)
    return seen[-1]


def ask(connection, protocol) -> None:
    if protocol == "h2":
        assert H2Client(connection).get("/").status == 200
    else:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_until(connection, b"hello").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("protocol", KIB)
def test_an_idle_connection_holds_little(binary, gateway, certs, tmp_path, protocol):
    version = subprocess.run([binary, "version"], capture_output=True, text=True).stdout
    if "mimalloc" not in version or "OpenSSL 3.0" not in version:
        pytest.skip("other libraries would have bounds of their own")
    result = config.basic([certs.localhost], ["127.0.0.1:9"], tmp_path)
    result["hosts"][0]["routes"] = [{"reply": {"status": 200, "body": "hello"}}]
    del result["upstreams"]
    gw = gateway(result)
    context = tls_context(certs.ca.pem, alpn=(protocol,))
    held = []

    def hold(count: int) -> int:
        for _ in range(count):
            held.append(tls(gw.port(), context))
            ask(held[-1], protocol)
        return standing_still(gw)

    try:
        before = hold(50)  # what the first ones set up once
        each = (hold(CONNECTIONS) - before) / CONNECTIONS
    finally:
        for connection in held:
            connection.close()
    print(f"{protocol}: {each:.1f} KiB each")
    assert each <= KIB[protocol]
