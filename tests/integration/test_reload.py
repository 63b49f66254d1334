# labels: multiworker
"""SIGHUP: the whole configuration and every certificate are read again and swapped, or the old
ones stay and it is told why; whatever runs, runs on."""

import json
import shutil
import signal
import socket
import ssl
import subprocess

import pytest
from harness import config
from harness.clients import curl, read_until, tcp, tls, tls_context
from harness.h2client import H2Client
from harness.load import Load
from harness.process import wait_until

WORKERS = 3
ROUTES = 8000
SPARE_KIB = 8 * 1024  # a configuration of so many routes takes some 20 MiB


@pytest.fixture
def made(certs, origin, tmp_path):
    """A configuration whose certificate is at a path of the test's own."""
    folder = tmp_path / "certs"
    folder.mkdir()

    def show(leaf):
        """Puts this certificate where the configuration looks."""
        for name, source in (("chain.pem", leaf.chain), ("key.pem", leaf.key)):
            shutil.copy(source, folder / (name + ".new"))
            (folder / (name + ".new")).rename(folder / name)

    show(certs.localhost)
    result = config.basic([certs.localhost], [origin.endpoint()], tmp_path, workers=WORKERS,
                          limits={"requests_per_connection": 0})  # fmt: skip
    result["hosts"][0]["tls"]["certificates"] = [
        {"chain": str(folder / "chain.pem"), "key": str(folder / "key.pem")}
    ]
    return Made(result, show, folder)


class Made(dict):
    def __init__(self, content, show, folder):
        super().__init__(content)
        self.show, self.folder = show, folder

    def with_(self, **changes) -> dict:
        return config.merged(dict(self), changes)


def replying(made, text):
    """The same, with every request answered by this text."""
    return made.with_(hosts=[{**made["hosts"][0], "routes": [{"reply": {"status": 200, "body": text}}]}])


def ask(gw, certs, path="/", **more):
    return curl(gw.url(path), cacert=certs.ca.pem, **more)


def serials(gw, certs, count=40) -> set[int]:
    """Of new handshakes: enough of them to meet every worker."""
    context = tls_context(certs.ca.pem)
    found = set()
    for _ in range(count):
        with tls(gw.port(), context) as connection:
            found.add(int(connection.getpeercert()["serialNumber"], 16))
    return found


def last_reload(gw):
    return json.loads(gw.admin("/status")[1])["last_reload"]


# ---- taken ----


def test_a_new_configuration_serves_the_next_request_also_on_an_open_connection(gateway, made, certs):
    gw = gateway(replying(made, "old"))
    with tls(gw.port(), tls_context(certs.ca.pem, alpn=("http/1.1",))) as connection:
        for text in ("old", "new", "newer"):
            if text != "old":
                assert gw.reload(replying(made, text))
            wait_until(lambda text=text: ask(gw, certs).body.decode() == text, f"the reply '{text}'", process=gw)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert read_until(connection, b"\r\n\r\n" + text.encode()).endswith(text.encode())
    metrics = gw.metrics()
    assert metrics.value("sallyport_config_generation") == 3
    assert metrics.value("sallyport_config_reloads_total", trigger="sighup", result="ok") == 2
    assert last_reload(gw)["successful"] is True


def test_after_a_certificate_swap_every_new_handshake_shows_the_new_serial(gateway, made, certs):
    """The YAML is the same: whoever compares it, and not the files, keeps an expired certificate."""
    gw = gateway(dict(made))
    assert serials(gw, certs) == {certs.localhost.serial}
    for _ in range(2):
        fresh = certs.ca.leaf("localhost", "127.0.0.1")
        made.show(fresh)
        assert gw.reload()
        assert serials(gw, certs) == {fresh.serial}
    shown = [labels["serial_hash"] for labels, _ in
             gw.metrics().samples("sallyport_tls_certificate_not_after_timestamp_seconds")]  # fmt: skip
    assert len(shown) == 1  # the old ones' expiry no longer raises an alarm


def test_a_resumed_session_does_not_keep_the_old_certificate_s_rules(gateway, made, certs):
    gw = gateway(dict(made))
    context = tls_context(certs.ca.pem, maximum=ssl.TLSVersion.TLSv1_2)
    with tls(gw.port(), context) as connection:
        session = connection.session
    with tls(gw.port(), context, session=session) as connection:
        assert connection.session_reused
    closed = made.with_(tls={"policies": {"default": {"client_auth": {"mode": "require", "ca": str(certs.ca.pem)}}}})
    assert gw.reload(closed)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        with tls(gw.port(), context, session=session) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(1)


def test_listeners_are_added_removed_and_kept(gateway, made, certs):
    gw = gateway(dict(made))
    kept, leaving = gw.port("https"), gw.port("http")
    second = {"name": "second", "protocol": "http", "address": "127.0.0.1:0"}
    with tcp(leaving) as old, tls(kept, tls_context(certs.ca.pem, alpn=("http/1.1",))) as stays:
        old.sendall(b"GET /delay/800 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        gw.wait_metric("sallyport_http_requests_in_flight", 1)
        assert gw.reload(made.with_(listeners=[made["listeners"][0], second]))
        # What ran on the listener that is gone still gets its answer, and is told to leave.
        answer = read_until(old, b"\r\n\r\n").lower()
        assert answer.startswith(b"http/1.1 200") and b"connection: close" in answer
        stays.sendall(b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_until(stays, b"\r\n\r\n").startswith(b"HTTP/1.1 200")
    listeners = {entry["name"]: entry["addresses"][0] for entry in json.loads(gw.admin("/status")[1])["listeners"]}
    assert set(listeners) == {"https", "second"}
    assert listeners["https"].endswith(f":{kept}")
    added = int(listeners["second"].rsplit(":", 1)[1])
    assert curl(f"http://localhost:{added}/echo").status == 200

    def refused():
        try:
            tcp(leaving).close()
        except ConnectionRefusedError:
            return True
        return False

    wait_until(refused, "the removed listener's port closed", process=gw)


def test_what_needs_a_restart_is_told_and_the_rest_is_taken(gateway, made, certs):
    gw = gateway(replying(made, "old"))
    changed = replying(made, "new")
    changed["workers"] = WORKERS + 1
    assert gw.reload(changed)
    assert ask(gw, certs).body == b"new"
    assert "workers" in gw.wait_log(r"reload_needs_restart.*workers.*")
    assert gw.metrics().value("sallyport_config_reloads_total", result="partial") == 1
    told = last_reload(gw)
    assert told["successful"] is True and "workers" in told["message"]
    assert json.loads(gw.admin("/status")[1])["workers"] == WORKERS


def test_memory_after_reloads_is_that_of_one_configuration(binary, gateway, made):
    """Two stand side by side for a moment. What the old one had is given back, also where it lies beside what stays."""
    if "mimalloc" not in subprocess.run([binary, "version"], capture_output=True, text=True).stdout:
        pytest.skip("other allocators keep what they like")
    routes = [{"match": {"path": f"/{n}"}, "reply": {"status": 200, "body": "x" * 400}} for n in range(ROUTES)]
    gw = gateway(made.with_(hosts=[{**made["hosts"][0], "routes": routes}]))
    before = gw.rss_kib()
    for _ in range(8):
        assert gw.reload()
    wait_until(lambda: gw.rss_kib() - before < SPARE_KIB, f"less than {SPARE_KIB} KiB more than {before}", process=gw)


# ---- rejected ----


def rejected(gw, certs, pattern, serial, body="old"):
    """The old one serves on, and the reason is in the log, the metrics and /status."""
    before = gw.metrics().value("sallyport_config_reloads_total", result="rejected")
    at = len(gw.log())
    assert not gw.reload()
    gw.wait_log(f"reload_rejected.*{pattern}", after=at)
    assert gw.metrics().value("sallyport_config_reloads_total", result="rejected") == before + 1
    told = last_reload(gw)
    assert told["successful"] is False and told["message"]
    assert gw.admin("/readyz")[0] == 200
    assert ask(gw, certs).body.decode() == body
    assert serials(gw, certs, 6) == {serial}


def test_a_bad_reload_leaves_the_old_one_serving_and_the_next_good_one_is_taken(gateway, made, certs):
    good = replying(made, "old")
    gw = gateway(good)
    serial = certs.localhost.serial

    gw.write_config("version: 1\nlisteners: [")
    rejected(gw, certs, r"gateway\.yaml:\d+:\d+", serial)

    gw.write_config({**good, "hosts": [], "lissteners": []})
    rejected(gw, certs, "lissteners", serial)

    gw.write_config(good)
    shutil.copy(certs.localhost_rsa.key, made.folder / "key.pem")
    rejected(gw, certs, "key", serial)

    (made.folder / "key.pem").unlink()
    rejected(gw, certs, r"key\.pem", serial)

    (made.folder / "key.pem").write_text("not a key")
    rejected(gw, certs, r"key\.pem", serial)

    gw.config_file.unlink()
    rejected(gw, certs, r"gateway\.yaml", serial)

    fresh = certs.ca.leaf("localhost")
    made.show(fresh)
    assert gw.reload(replying(made, "new"))
    assert ask(gw, certs).body == b"new"
    assert serials(gw, certs) == {fresh.serial}
    assert last_reload(gw)["successful"] is True


def test_a_port_in_use_rejects_the_whole_reload(gateway, made, certs):
    gw = gateway(replying(made, "old"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        fresh = certs.ca.leaf("localhost")
        made.show(fresh)
        new = replying(made, "new")
        new["listeners"] = [*made["listeners"],
                            {"name": "free", "address": "127.0.0.1:0"},
                            {"name": "taken", "address": f"127.0.0.1:{taken.getsockname()[1]}"}]  # fmt: skip
        gw.write_config(new)
        rejected(gw, certs, "Address already in use", certs.localhost.serial)
    assert gw.reload()  # free by now
    assert ask(gw, certs).body == b"new"
    assert serials(gw, certs) == {fresh.serial}


def test_an_access_log_that_cannot_be_opened_rejects_it(gateway, made, certs, tmp_path):
    gw = gateway(replying(made, "old"))
    new = replying(made, "new")
    new["access_log"]["path"] = str(tmp_path / "no" / "such" / "folder" / "log")
    gw.write_config(new)
    rejected(gw, certs, "folder", certs.localhost.serial)


# ---- meanwhile ----


def test_an_exchange_keeps_the_routes_and_limits_that_it_began_with(gateway, made, certs):
    gw = gateway(dict(made))
    with tls(gw.port(), tls_context(certs.ca.pem)) as connection:
        client = H2Client(connection)
        number = client.start(path="/stream/30?interval=20")
        client.wait(lambda: client.streams[number].body, "the first piece")
        assert gw.reload(replying(made, "new"))
        assert client.get("/").body == b"new"
        assert gw.metrics().value("sallyport_config_generations_alive") == 2
        assert len(client.response(number).body) == 30 * 64
        assert not client.goaways
    wait_until(lambda: gw.metrics().value("sallyport_config_generations_alive") == 1, "one generation", process=gw)


def test_an_upstream_that_a_reload_leaves_as_it_is_keeps_its_connections(gateway, made, certs, start_origin):
    own = start_origin()
    same = made.with_(upstreams={"web": {"endpoints": [own.endpoint()]}}, workers=1)
    gw = gateway(same)
    assert ask(gw, certs, "/bytes/1").status == 200
    before = own.stats()["connections"]
    for text in ("1", "2"):
        same["hosts"][0]["routes"] = [{"upstream": "web", "response_headers": {"set": {"x-generation": text}}}]
        assert gw.reload(same)
        assert ask(gw, certs, "/bytes/1").header("x-generation") == text
    assert own.stats()["connections"] == before + 1  # that of the question itself


def test_signals_in_a_burst_end_in_the_last_configuration(gateway, made, certs):
    gw = gateway(replying(made, "0"))
    for text in range(1, 20):
        gw.write_config(replying(made, str(text)))
        gw.signal(signal.SIGHUP)
    wait_until(lambda: ask(gw, certs).body == b"19", "the last configuration", process=gw)


def test_reloads_under_load_fail_no_request_and_cut_no_connection(gateway, made, certs):
    gw = gateway(dict(made))
    with Load(gw, certs) as load:
        wait_until(lambda: load.check() or load.turns() >= 2, "load", process=gw)
        for count in range(30):
            fresh = made.with_()
            fresh["hosts"][0]["routes"] = [{"upstream": "web", "response_headers": {"set": {"x-count": str(count)}}}]
            assert gw.reload(fresh)
            load.check()
        turns = load.turns()
        wait_until(lambda: load.check() or load.turns() >= turns + 2, "load after the reloads", process=gw)
    wait_until(lambda: gw.metrics().value("sallyport_config_generations_alive") == 1, "one generation", process=gw)
    metrics = gw.metrics()
    assert metrics.value("sallyport_config_generation") == 31
    assert metrics.value("sallyport_http_requests_total", code_class="5xx") == 0
    assert metrics.value("sallyport_connection_closed_total", by="error") == 0
