"""Bad input gets a clear answer, and nothing else is disturbed: on the wire, in the files that
the configuration names, in the configuration itself, and when there are no file handles left."""

import http.client
import os
import pathlib
import resource
import socket
import struct

import pytest
import yaml
from harness import config
from harness.clients import curl, read_all, read_until, run, tcp, tls, tls_context
from harness.handshake import Handshake, alert
from harness.process import wait_until

FAILURES = "sallyport_tls_handshake_failures_total"


@pytest.fixture
def made(origin, certs, tmp_path):
    return config.basic([certs.localhost], [origin.endpoint()], tmp_path)


def check(binary, file) -> tuple[int, str]:
    done = run(binary, "check", "-c", file)
    return done.returncode, done.stdout + done.stderr


# ---- on the wire ---------------------------------------------------------------------------


@pytest.fixture
def busy(gateway, made, certs):
    """A gateway with a connection that must not notice anything; asked again at the end."""
    gw = gateway(made)
    with tls(gw.port(), tls_context(certs.ca.pem, alpn=("http/1.1",))) as bystander:

        def ask():
            bystander.sendall(b"GET /bytes/0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return read_until(bystander, b"\r\n\r\n").startswith(b"HTTP/1.1 200")

        assert ask()
        yield gw
        assert ask(), "somebody else's bad input was felt"


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"POST /x HTTP/1.1\r\n\r\n",
                                  b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], ids=["get", "post", "h2"])  # fmt: skip
def test_plain_http_on_the_tls_port_is_told_so_in_plain_http(busy, sent):
    with tcp(busy.port()) as connection:
        connection.sendall(sent)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert b"https://" in answer
    busy.wait_metric(FAILURES, 1, stage="hello", reason="not_tls")
    busy.wait_log('handshake_failed reason="not_tls"')


def test_curl_shows_the_user_what_went_wrong(busy):
    response = curl(f"http://localhost:{busy.port()}/")
    assert (response.exit_code, response.status) == (0, 400)
    assert b"https://" in response.body


@pytest.mark.parametrize("cut", [1, 4, 5, 9, 60, -1])
def test_a_truncated_hello_ends_with_its_client(busy, certs, cut):
    hello = Handshake(tls_context(certs.ca.pem)).hello
    with tcp(busy.port()) as connection:
        connection.sendall(hello[:cut])
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection) == b""
    busy.wait_metric(FAILURES, 1, stage="hello", reason="peer_closed_hello")
    assert busy.metrics().value("sallyport_tls_handshakes_in_progress") == 0


def broken_hellos(hello: bytes) -> dict[str, tuple[bytes, int, str]]:
    """What is sent, the alert for it, the reason."""
    long_field = bytearray(hello)
    long_field[43] = 255  # the session id's length: longer than the message
    other_message = hello[:5] + b"\x02" + hello[6:]
    return {
        "not-tls": (b"SSH-2.0-OpenSSH_9.2\r\n", 10, "not_tls"),
        "ssl2": (bytes.fromhex("802e010002001500000010") + bytes(37), 10, "not_tls"),
        "record-version": (b"\x16\x05\x01" + hello[3:], 10, "bad_record"),
        "empty-record": (b"\x16\x03\x01\x00\x00" + hello, 10, "bad_record"),
        "huge-record": (b"\x16\x03\x01\xff\xff" + hello[5:], 10, "bad_record"),
        "other-record-within": (hello[:3] + struct.pack("!H", 20) + hello[5:25] + b"\x17\x03\x03\x00\x01\x00", 10,
                                "bad_record"),
        "other-message": (other_message, 50, "malformed_hello"),
        "field-past-its-end": (bytes(long_field), 50, "malformed_hello"),
        "no-extensions-but-zeros": (b"\x16\x03\x01\x00\x2c\x01\x00\x00\x28" + bytes(40), 50, "malformed_hello"),
        "16-mib": (b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes(100), 47, "hello_too_large"),
    }  # fmt: skip


@pytest.mark.parametrize("name", broken_hellos(bytes(100)))
def test_a_broken_hello_is_refused_by_alert_and_told_by_name(busy, certs, name):
    sent, code, reason = broken_hellos(Handshake(tls_context(certs.ca.pem)).hello)[name]
    with tcp(busy.port()) as connection:
        connection.sendall(sent)
        assert alert(read_all(connection)) == code
    busy.wait_metric(FAILURES, 1, reason=reason)
    busy.wait_log(f'handshake_failed reason="{reason}"')


def test_an_alert_instead_of_a_hello_is_told_by_its_name_and_not_answered(busy):
    with tcp(busy.port()) as connection:
        connection.sendall(b"\x15\x03\x01\x00\x02\x02\x28")
        assert read_all(connection) == b""
    busy.wait_metric(FAILURES, 1, stage="hello", reason="peer_alert_handshake_failure")


def test_garbage_after_the_hello_is_refused(busy, certs):
    shaken = Handshake(tls_context(certs.ca.pem))
    with tcp(busy.port()) as connection:
        connection.sendall(shaken.hello + b"\x17\x03\x03\x00\x20" + bytes(32))
        read_all(connection)
    busy.wait_metric(FAILURES, 1, stage="finished", reason="bad_record")


def test_garbage_in_an_open_connection_ends_that_connection_alone(busy, certs):
    """A record that does not authenticate: somebody in between, or a broken client."""
    shaken = Handshake(tls_context(certs.ca.pem, alpn=("http/1.1",)))
    with tcp(busy.port()) as connection:
        connection.sendall(shaken.hello)
        shaken.finish(connection)
        connection.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
        read_all(connection)


def test_tls_on_the_plain_port_is_a_400(busy, certs):
    with tcp(busy.port("http")) as connection:
        connection.sendall(Handshake(tls_context(certs.ca.pem)).hello)
        assert read_all(connection).startswith(b"HTTP/1.1 400 ")


# ---- certificate files ---------------------------------------------------------------------


def broken_files(certs, folder: pathlib.Path) -> dict[str, tuple[dict, str, list[str]]]:
    """What `certificates` says, the file at fault, what is said of it."""
    good, other = certs.localhost, certs.localhost_rsa
    file = folder / "file.pem"
    made = {"chain": str(good.chain), "key": str(good.key)}
    return {
        "key-of-another": ({**made, "key": str(other.key)}, str(other.key), ["does not"]),
        "key-of-another-same-type": ({**made, "key": str(certs.client.key)}, str(certs.client.key), ["does not"]),
        "key-absent": ({**made, "key": str(folder / "absent.key")}, str(folder / "absent.key"), ["No such file"]),
        "chain-absent": ({**made, "chain": str(folder / "absent.pem")}, str(folder / "absent.pem"), ["No such file"]),
        "chain-is-no-pem": ({**made, "chain": str(file)}, str(file), []),
        "key-is-no-pem": ({**made, "key": str(file)}, str(file), []),
        "key-is-a-folder": ({**made, "key": str(folder)}, str(folder), ["directory"]),
        "key-is-the-chain": ({**made, "key": str(good.chain)}, str(good.chain), []),
    }


@pytest.mark.parametrize("name", ["key-of-another", "key-of-another-same-type", "key-absent", "chain-absent",
                                  "chain-is-no-pem", "key-is-no-pem", "key-is-a-folder", "key-is-the-chain"])  # fmt: skip
def test_a_wrong_certificate_file_is_named_and_the_old_one_goes_on_serving(gateway, made, binary, certs, tmp_path, name):
    (tmp_path / "file.pem").write_text("-----BEGIN NONSENSE-----\nAAAA\n")
    entry, culprit, words = broken_files(certs, tmp_path)[name]
    bad = config.merged(made, {})
    bad["hosts"][0]["tls"]["certificates"] = [entry]

    gw = gateway(made)
    assert not gw.reload(bad)
    status, said = check(binary, gw.config_file)
    assert status == 1
    start = gw.log()  # what the reload said
    for text in (said, start):
        assert culprit in text, text
        for word in words:
            assert word in text, text
    assert gw.config_file.name + ":" in said, "the line that names the file is told as well"
    assert curl(gw.url("/bytes/0"), cacert=certs.ca.pem).status == 200
    assert gw.metrics().value("sallyport_config_reloads_total", result="rejected") == 1
    with tls(gw.port(), tls_context(certs.ca.pem)) as connection:
        assert int(connection.getpeercert()["serialNumber"], 16) == certs.localhost.serial
    assert gw.reload(made), "and the next good one is taken"

    # At the start there is no old one: nothing is served, exit status 1.
    log = gateway(bad, ready=False).expect_exit(1)
    assert culprit in log


def test_a_key_that_is_swapped_on_disk_alone_is_found_at_the_reload(gateway, made, certs, tmp_path):
    """The YAML is unchanged: a renewal that wrote the key and not yet the chain."""
    leaf, renewed = certs.ca.leaf("localhost"), certs.ca.leaf("localhost")
    made["hosts"][0]["tls"]["certificates"] = [{"chain": str(leaf.chain), "key": str(leaf.key)}]
    gw = gateway(made)
    leaf.key.write_bytes(renewed.key.read_bytes())
    assert not gw.reload()
    assert str(leaf.key) in gw.log()
    assert curl(gw.url("/bytes/0"), cacert=certs.ca.pem).status == 200
    leaf.chain.write_bytes(renewed.chain.read_bytes())
    assert gw.reload()
    with tls(gw.port(), tls_context(certs.ca.pem)) as connection:
        assert int(connection.getpeercert()["serialNumber"], 16) == renewed.serial


@pytest.fixture
def unreadable(tmp_path):
    """A folder that this user may not look into; for root, which may look anywhere, one whose
    path leads through a file, or too deep."""
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0)
    if os.access(folder, os.R_OK):
        folder.rmdir()
        folder.write_text("a file, not a folder\n")
    yield folder
    folder.chmod(0o700)


def test_an_unreadable_folder_of_certificates_is_named(gateway, made, binary, certs, unreadable):
    gw = gateway(made)
    bad = config.merged(made, {})
    chain = unreadable / "site.pem"
    bad["hosts"][0]["tls"]["certificates"] = [{"chain": str(chain), "key": str(certs.localhost.key)}]
    assert not gw.reload(bad)
    for text in (gw.log(), check(binary, gw.config_file)[1]):
        assert str(chain) in text, text
        assert "Not a directory" in text or "Permission denied" in text, text
    assert curl(gw.url("/bytes/0"), cacert=certs.ca.pem).status == 200


@pytest.mark.parametrize("key", ["access_log", "log"])
def test_a_log_in_a_folder_that_cannot_be_written_stops_the_start(gateway, made, unreadable, key):
    made[key] = {"path": str(unreadable / "x.log")}
    log = gateway(made, ready=False).expect_exit(1)
    assert str(unreadable / "x.log") in log
    assert "Not a directory" in log or "Permission denied" in log


def test_a_configuration_that_cannot_be_read_is_named(binary, tmp_path, unreadable):
    for file in (tmp_path / "absent.yaml", unreadable / "sallyport.yaml", tmp_path):
        for command in ("check", "run"):
            done = run(binary, command, "-c", file)
            assert done.returncode == 1, (file, done.stdout, done.stderr)
            assert str(file) in done.stderr, done.stderr


# ---- the configuration ---------------------------------------------------------------------

MISSPELT = """\
version: 1
listners:
  - { name: http, protocol: http, address: "127.0.0.1:0" }
listeners:
  - name: http
    protocol: http
    adress: "127.0.0.1:0"
    address: "127.0.0.1:0"
    max_connections: many
timeouts: { idle: 10 parsecs }
hosts:
  - names: [localhost]
    routes: [{ upstream: wbe }]
upstreams:
  web: { endpoints: ["127.0.0.1:1"], balence: round_robin }
"""


def test_all_that_is_wrong_with_a_configuration_is_told_at_once_with_line_and_column(gateway, binary, made, tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text(MISSPELT)
    status, text = check(binary, file)
    assert status == 1
    for where, *words in (
        ("2:1", "listners", 'did you mean "listeners"'),
        ("7:5", "adress", 'did you mean "address"'),
        ("9:22", "many"),
        ("10:19", "10 parsecs"),
        ("15:38", "balence", 'did you mean "balance"'),
    ):
        line = next((row for row in text.splitlines() if row.startswith(f"{file}:{where}:")), None)
        assert line, f"nothing at {where}:\n{text}"
        assert all(word in line for word in words), line
    gw = gateway(made)
    assert not gw.reload(MISSPELT)
    assert f"{gw.config_file}:2:1" in gw.log()
    assert gw.admin("/readyz")[0] == 200
    log = gateway(MISSPELT, ready=False).expect_exit(1)
    assert ":7:5:" in log


def test_text_that_is_no_yaml_is_told_with_its_line(binary, tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text("version: 1\nlisteners: [\n  - }\n")
    status, text = check(binary, file)
    assert status == 1
    assert f"{file}:3:" in text or f"{file}:2:" in text, text


# ---- no file handles left ------------------------------------------------------------------

SPARE = 40  # beyond what it has open at its start


@pytest.fixture
def cramped(gateway, made, certs):
    """A gateway whose limit of open files is near; it has seen traffic, so what it opens once is open."""
    gw = gateway(made)
    for _ in range(3):
        assert curl(gw.url("/bytes/0"), cacert=certs.ca.pem).status == 200
    limit = gw.open_files() + SPARE
    resource.prlimit(gw.pid, resource.RLIMIT_NOFILE, (limit, limit))
    return gw


def ask(connection) -> bytes:
    connection.sendall(b"GET /bytes/100 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    head = read_until(connection, b"\r\n\r\n")
    body = head.split(b"\r\n\r\n", 1)[-1]
    if head.startswith(b"HTTP/1.1 200"):
        while len(body) < 100:
            body += connection.recv(1000)
    return head


def test_at_the_limit_of_open_files_what_is_served_goes_on_and_the_rest_comes_in_later(cramped, certs):
    """No spinning, no crash, no lost listener: whoever waits is taken when handles come free."""
    gw = cramped
    context = tls_context(certs.ca.pem, alpn=("http/1.1",))
    kept = tls(gw.port(), context)
    admin = http.client.HTTPConnection(gw.ports["admin"], timeout=20)
    admin.request("GET", "/healthz")
    assert admin.getresponse().read()
    try:
        assert ask(kept).startswith(b"HTTP/1.1 200")
        waiting = [tcp(gw.port("http")) for _ in range(SPARE + 20)]
        gw.wait_log("accept_failed.*Too many open files")
        before = gw.cpu_seconds()
        for _ in range(20):
            assert ask(kept).startswith(b"HTTP/1.1 200"), "the connection that was there is served"
        assert gw.cpu_seconds() - before < 1.0
        for connection in waiting[: SPARE + 10]:
            connection.close()
        last = waiting[-1]
        assert ask(last).startswith(b"HTTP/1.1 200"), "who had to wait is served once there is room"
        assert gw.metrics().value("sallyport_listener_accept_paused_total", listener="http", reason="files") == 1
        for connection in waiting:
            connection.close()
        wait_until(lambda: curl(gw.url("/bytes/0"), cacert=certs.ca.pem).status == 200, "a new connection", process=gw)
        wait_until(lambda: gw.open_files() < SPARE, "handles to come free", process=gw)
    finally:
        admin.close()
        kept.close()


def test_without_a_handle_for_the_upstream_the_client_gets_an_answer(cramped, certs):
    """The client is in, the connection to the upstream cannot be made: 503, and nothing is stuck."""
    gw = cramped
    waiting = [tcp(gw.port("http")) for _ in range(SPARE + 10)]
    try:
        gw.wait_log("accept_failed.*Too many open files")
        heads = []
        for connection in waiting[:5]:
            connection.sendall(b"GET /delay/1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for connection in waiting[:5]:
            heads.append(read_until(connection, b"\r\n\r\n"))
        assert all(head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 404", b"HTTP/1.1 50")) for head in heads), heads
        assert any(head.startswith(b"HTTP/1.1 50") for head in heads), heads
    finally:
        for connection in waiting:
            connection.close()
    wait_until(lambda: curl(gw.url("/bytes/0"), cacert=certs.ca.pem).status == 200, "a good answer again", process=gw)


def test_a_reload_without_a_handle_is_refused_and_the_next_one_is_taken(cramped, made):
    """Certificates cannot be read: the old snapshot stays."""
    gw = cramped
    waiting = [tcp(gw.port("http")) for _ in range(SPARE + 10)]
    mark = len(gw.log())
    try:
        gw.wait_log("accept_failed.*Too many open files")
        gw.signal(1)
        gw.wait_log("Too many open files", after=gw.log().rindex("accept_failed") + 200)
        assert ask(waiting[0]).startswith((b"HTTP/1.1 200", b"HTTP/1.1 50"))
    finally:
        for connection in waiting:
            connection.close()
    gw.wait_metric("sallyport_config_reloads_total", 1, result="rejected")
    assert "reload" in gw.log()[mark:]
    assert gw.reload(made)


@pytest.mark.parametrize("limit", [6, 10, 14])
def test_a_limit_too_low_to_start_with_is_said(binary, made, tmp_path, limit):
    """Clear words and exit status 1, not a worker that dies later."""
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump(made))
    done = run("prlimit", f"--nofile={limit}:{limit}", binary, "run", "-c", file)
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert "Too many open files" in done.stderr, done.stderr
