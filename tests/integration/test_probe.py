"""Whatever is wrong with a server, `sallyport probe` finds it from outside, says so in one line with what to
change, and with the error that Cloudflare's visitors see for it: nginx in each misconfiguration, servers
that no nginx can be made to be, and Sallyport itself, with which nothing is wrong."""

import contextlib
import json
import pathlib
import re
import socket
import ssl
import struct
import subprocess
import threading

import pytest
from harness.certs import Authority
from harness.clients import read_until
from harness.config import basic
from harness.nginx import Nginx, Server

CLOUDFLARE = ["cloudflare-13", "cloudflare-12"]
DOCS = (pathlib.Path(__file__).parents[2] / "docs" / "probe.md").read_text()
DOCUMENTED = set(re.findall(r"`(\w+)`", DOCS))
CHAIN = {"missing_issuer", "unknown_root", "wrong_order", "root_included", "expired", "near_expiry", "name_not_covered",
         "added"}  # fmt: skip
CHACHA = "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"


class Files:
    """The chains that the servers send, good and bad."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.root = Authority(folder)
        self.upper = self.root.intermediate("Upper intermediate")
        self.middle = self.upper.intermediate()
        self.ecdsa = self.middle.leaf("localhost")
        self.rsa = self.middle.leaf("localhost", key="rsa")
        self.expired = self.middle.leaf("localhost", start=-30, end=-1)
        self.soon = self.middle.leaf("localhost", start=-60, end=3)
        self.elsewhere = self.middle.leaf("elsewhere.test")
        self.alone = Authority(folder, "Nobody's own").leaf("localhost")
        self.origin_ca = Authority(folder, "CloudFlare Origin SSL Certificate Authority").leaf("localhost")
        self.self_signed = self._self_signed()

    def of(self, leaf, *places: int) -> str:
        """nginx' directives for a leaf and some certificates of its chain."""
        end = "-----END CERTIFICATE-----\n"
        blocks = [block + end for block in leaf.chain.read_text().split(end) if block.strip()]
        blocks.append(self.root.pem.read_text())
        path = self.folder / f"{leaf.serial:x}-{'-'.join(map(str, places))}.pem"
        path.write_text("".join(blocks[place] for place in places))
        return pair(path, leaf.key)

    def _self_signed(self) -> str:
        chain, key = self.folder / "self.pem", self.folder / "self.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "60",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", chain],
            check=True, capture_output=True, timeout=30)  # fmt: skip
        return pair(chain, key)


def pair(chain, key) -> str:
    return f"ssl_certificate {chain}; ssl_certificate_key {key}; "


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return Files(tmp_path_factory.mktemp("chains"))


@pytest.fixture(scope="module")
def nginx(files, tmp_path_factory):
    both = pair(files.ecdsa.chain, files.ecdsa.key) + pair(files.rsa.chain, files.rsa.key)
    ok = both + 'location / { return 200 "ok"; } '
    running = Nginx(tmp_path_factory.mktemp("nginx"), {
        "good": Server(ok),
        # Chains.
        "no_intermediate": Server(files.of(files.ecdsa, 0)),
        "lower_intermediate_only": Server(files.of(files.ecdsa, 0, 1)),
        "wrong_order": Server(files.of(files.ecdsa, 0, 2, 1)),
        "with_root": Server(files.of(files.ecdsa, 0, 1, 2, 3)),
        "self_signed": Server(files.self_signed),
        "unknown_ca": Server(pair(files.alone.chain, files.alone.key)),
        "expired": Server(pair(files.expired.chain, files.expired.key)),
        "expires_soon": Server(pair(files.soon.chain, files.soon.key)),
        "other_name": Server(pair(files.elsewhere.chain, files.elsewhere.key)),
        "origin_ca": Server(pair(files.origin_ca.chain, files.origin_ca.key)),
        # Policies.
        "rsa": Server(pair(files.rsa.chain, files.rsa.key)),
        "ecdsa": Server(pair(files.ecdsa.chain, files.ecdsa.key)),
        "tls13": Server(ok + "ssl_protocols TLSv1.3;"),
        "tls12": Server(ok + "ssl_protocols TLSv1.2;"),
        "tls10": Server(ok + "ssl_protocols TLSv1 TLSv1.1 TLSv1.2; ssl_ciphers ALL:@SECLEVEL=0;"),
        "chacha": Server(ok + f"ssl_protocols TLSv1.2; ssl_ciphers {CHACHA};"),
        "chacha_and_13": Server(ok + f"ssl_ciphers {CHACHA}; ssl_protocols TLSv1.2 TLSv1.3;"),
        "chacha_by_command": Server(ok + f"ssl_protocols TLSv1.2; ssl_conf_command CipherString {CHACHA};"),
        "rsa_exchange": Server(ok + "ssl_protocols TLSv1.2; ssl_ciphers AES128-GCM-SHA256;"),
        "p384": Server(ok + "ssl_ecdh_curve secp384r1;"),
        "p521": Server(ok + "ssl_ecdh_curve secp521r1; ssl_protocols TLSv1.2; ssl_ciphers ECDHE+AESGCM;"),
        "no_tickets": Server(ok + "ssl_session_tickets off;"),
        # HTTP.
        "no_h2": Server(ok, listen="ssl"),
        "plain": Server(listen=""),
        "closes": Server(ok + "keepalive_timeout 0;"),
        "errors": Server(both + "location / { return 503; }"),
        # Names and clients.
        "reject": Server("ssl_reject_handshake on;", also="server { listen {listen}; server_name other.test; " + ok + "}"),
        "reject_all_but": Server(ok, also="server { listen {listen} default_server; ssl_reject_handshake on; }"),
        "client_certificate": Server(ok + f"ssl_verify_client on; ssl_client_certificate {files.root.pem};"),
        "client_certificate_12": Server(
            ok + f"ssl_verify_client on; ssl_client_certificate {files.root.pem}; ssl_protocols TLSv1.2;"),
        "client_certificate_maybe": Server(
            ok + f"ssl_verify_client optional; ssl_client_certificate {files.root.pem};"),
    })  # fmt: skip
    yield running
    running.stop()


class Report:
    def __init__(self, code: int, report: dict):
        self.code = code
        self.json = report
        self.rows = {row["client"]: row for row in report["clients"]}
        self.findings = report["findings"]
        assert {one["name"] for one in self.findings} <= DOCUMENTED | CHAIN

    def names(self, *severities: str) -> list[str]:
        return [one["name"] for one in self.findings if one["severity"] in (severities or ("fail", "warn"))]

    def finding(self, name: str) -> dict:
        found = [one for one in self.findings if one["name"] == name]
        assert found, f"no {name} in {self.findings}"
        return found[0]

    def outcomes(self, *kinds: str) -> list[str]:
        return [self.rows[kind]["outcome"] for kind in kinds]


@pytest.fixture(scope="module")
def command(binary):
    def run(*words):
        made = subprocess.run([binary, "probe", *map(str, words)], capture_output=True, text=True, timeout=60)
        return made.returncode, made.stdout, made.stderr

    return run


@pytest.fixture(scope="module")
def probe(command, files):
    """probe(port, ...) is the report as JSON; probe.text(port, ...) as people see it."""

    def words(port, more):
        return [f"127.0.0.1:{port}", "--sni", "localhost", "--roots", files.root.pem, *more]

    def run(port, *more) -> Report:
        code, out, err = command(*words(port, more), "--json")
        assert code in (0, 1), err
        return Report(code, json.loads(out))

    run.text = lambda port, *more: command(*words(port, more))[1]
    return run


# ---- what is right -------------------------------------------------------------------------


def test_with_a_good_server_nothing_is_wrong(probe, nginx):
    report = probe(nginx.ports["good"])
    assert report.code == 0 and report.json["ok"]
    assert report.names() == [], report.findings
    assert {row["outcome"] for row in report.rows.values()} == {"ok"}, report.rows
    assert len(report.rows) == 17
    assert {row["certificate"] for row in report.rows.values()} >= {"EC P-256", "RSA 2048"}
    assert report.rows["tls12"]["version"] == report.rows["cloudflare-12"]["version"] == "TLSv1.2"
    assert report.rows["cloudflare-13"]["version"] == report.rows["split-hello"]["version"] == "TLSv1.3"
    assert report.rows["h2-only"]["http"]["max_concurrent_streams"] == 128
    assert report.rows["http1-only"]["http"]["status"] == 200
    assert report.rows["resumption"]["resumed"]
    assert report.rows["plain-http"]["note"].startswith("'HTTP/1.1 400")
    assert [chain["complete"] for chain in report.json["chains"]] == [True, True]


def test_with_sallyport_nothing_is_wrong(probe, gateway, origin, files, tmp_path):
    running = gateway(basic([files.ecdsa, files.rsa], [origin.endpoint()], tmp_path))
    report = probe(running.port("https"))
    assert report.code == 0 and report.names() == [], report.findings
    assert {row["outcome"] for row in report.rows.values()} == {"ok"}, report.rows
    assert report.rows["unknown-sni"]["note"] == report.rows["no-sni"]["note"] == "alert unrecognized_name"
    assert report.rows["legacy"]["note"] == "alert protocol_version"
    assert report.rows["h2-only"]["http"]["max_concurrent_streams"] > 0
    # The gateway says the same of who could not get in, in its own words.
    assert running.log().count('reason="unsupported_version"') == 1


# ---- nginx, misconfigured --------------------------------------------------------------------

CASES = [
    # server, severity, finding, Cloudflare's error, what the line says
    ("no_intermediate", "fail", "missing_issuer", 526, '"CN=Test intermediate" is not sent'),
    ("lower_intermediate_only", "fail", "missing_issuer", 526, '"CN=Upper intermediate" is not sent'),
    ("wrong_order", "warn", "wrong_order", None, "stands in the wrong place"),
    ("with_root", "warn", "root_included", None, "is a root: clients have it"),
    ("self_signed", "fail", "unknown_root", 526, "is self-signed"),
    ("unknown_ca", "fail", "missing_issuer", 526, "Nobody's own"),
    ("expired", "fail", "expired", 526, "expired on"),
    ("expires_soon", "warn", "near_expiry", None, "in 2 days"),
    ("other_name", "fail", "name_not_covered", 526, "is not for localhost but for elsewhere.test"),
    ("origin_ca", "info", "cloudflare_origin_ca", None, "Full (strict)"),
    ("rsa", "info", "no_shared_sigalg", None, "takes ECDSA certificates alone and the server has only an RSA one"),
    ("ecdsa", "warn", "no_shared_sigalg", None, "takes RSA certificates alone and the server has only an ECDSA one"),
    ("tls13", "info", "no_tls12", None, "speaks TLS 1.3 alone"),
    ("tls12", "warn", "no_tls13", None, "does not speak TLS 1.3"),
    ("tls10", "warn", "old_version", None, "still speaks TLSv1.1"),
    ("chacha", "fail", "no_shared_cipher", 525, "ECDHE-ECDSA-CHACHA20-POLY1305"),
    ("chacha_by_command", "fail", "no_shared_cipher", 525, "add ECDHE-ECDSA-AES128-GCM-SHA256"),
    ("chacha_and_13", "warn", "no_shared_cipher", None, "which has no ChaCha20"),
    ("rsa_exchange", "warn", "no_forward_secrecy", None, "is given AES128-GCM-SHA256"),
    ("p384", "warn", "hello_retry", None, "asks for a second hello, with P-384"),
    ("p521", "fail", "no_shared_group", 525, "another client was given P-521"),
    ("no_tickets", "info", "no_resumption", None, "switch session tickets on"),
    ("no_h2", "warn", "no_alpn_overlap", None, "gRPC"),
    ("plain", "fail", "not_tls", 525, "does not speak TLS but plain HTTP (it said 'HTTP/1.1 400 Bad Request')"),
    ("closes", "warn", "no_keep_alive", None, "closes the connection behind each response"),
    ("reject", "fail", "unknown_sni", 525, "has no host for the name 'localhost'"),
    ("client_certificate", "warn", "client_cert_missing", 520, 'of "CN=Test root"'),
    ("client_certificate_12", "warn", "client_cert_missing", 520, "Authenticated Origin Pulls"),
    ("client_certificate_maybe", "info", "client_cert_requested", None, "serves those who have none"),
]


@pytest.mark.parametrize("server, severity, name, code, text", CASES, ids=[case[0] for case in CASES])
def test_nginx_misconfigured(probe, nginx, server, severity, name, code, text):
    report = probe(nginx.ports[server])
    finding = report.finding(name)
    assert (finding["severity"], finding.get("cloudflare")) == (severity, code), report.findings
    assert text in finding["text"], finding
    assert report.code == (1 if severity == "fail" else 0), report.findings
    # It is the one thing that is wrong: no other cause is made up for the same clients.
    others = [one for one in report.names() if one not in (name, *FOLLOWS.get(server, ()))]
    assert others == [], report.findings


# What is wrong besides, since the server has one key only or speaks one version only.
FOLLOWS = {
    **dict.fromkeys(("no_intermediate", "lower_intermediate_only", "wrong_order", "with_root", "self_signed",
                     "unknown_ca", "expired", "expires_soon", "other_name", "origin_ca"), ("no_shared_sigalg",)),
    **dict.fromkeys(("tls10", "chacha", "chacha_by_command", "rsa_exchange", "p521", "client_certificate_12"),
                    ("no_tls13",)),
    "tls13": ("no_shared_sigalg",),
}  # fmt: skip


def test_a_server_that_serves_errors_is_odd_and_not_broken(probe, nginx):
    report = probe(nginx.ports["errors"])
    assert report.code == 0 and report.outcomes("http1-only") == ["odd"]
    assert report.rows["http1-only"]["http"]["status"] == 503


def test_a_missing_intermediate_that_is_at_hand_is_named(probe, nginx, files):
    report = probe(nginx.ports["no_intermediate"], "--intermediates", files.ecdsa.chain)
    added = [one["text"] for one in report.findings if one["name"] == "added"]
    assert report.code == 1 and len(added) == 2
    assert any('"CN=Test intermediate" is not sent' in text for text in added), added


def test_refused_names_are_told_from_served_ones(probe, nginx):
    report = probe(nginx.ports["reject_all_but"])
    assert report.code == 0 and report.names() == []
    assert report.rows["no-sni"]["reason"] == "missing_sni"
    assert report.rows["unknown-sni"]["reason"] == "unknown_sni"
    assert "default_host" in probe(nginx.ports["good"]).names("info")


# ---- servers that no nginx can be made to be -------------------------------------------------


@contextlib.contextmanager
def raw_server(serve):
    """A port whose every connection is given to `serve`, in a thread; it is closed behind that."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def one(connection):
        with contextlib.suppress(OSError), connection:
            serve(connection)

    def accept():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def relay(connection, port: int, first: bytes) -> None:
    """What came and all that follows goes to a server that works."""
    with socket.create_connection(("127.0.0.1", port)) as server:
        server.sendall(first)

        def back():
            with contextlib.suppress(OSError):
                while data := server.recv(65536):
                    connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=back, daemon=True)
        thread.start()
        with contextlib.suppress(OSError):
            while data := connection.recv(65536):
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
        thread.join(10)


def record_size(data: bytes) -> int:
    return 5 + struct.unpack(">H", data[3:5])[0]


def message_size(data: bytes) -> int:
    return 4 + int.from_bytes(data[6:9], "big")


def test_who_reads_a_split_hello_once_is_found(probe, nginx):
    def serve(connection):
        data = connection.recv(65536)
        if len(data) < 5 or len(data) >= record_size(data):  # in the other case: closes
            relay(connection, nginx.ports["good"], data)

    with raw_server(serve) as port:
        report = probe(port)
    assert report.code == 1 and report.names() == ["split_hello"], report.findings
    assert report.finding("split_hello")["cloudflare"] == 525
    assert report.outcomes("cloudflare-13", "split-records", "split-hello") == ["ok", "ok", "fail"]


def test_who_takes_a_record_for_the_hello_is_found(probe, nginx):
    def serve(connection):
        data = connection.recv(65536)
        while data[:1] == b"\x16" and len(data) < record_size(data):
            data += connection.recv(65536)
        if data[:1] != b"\x16" or message_size(data) <= record_size(data) - 5:
            relay(connection, nginx.ports["good"], data)

    with raw_server(serve) as port:
        report = probe(port)
    assert report.code == 0 and report.names() == ["split_records"], report.findings


def test_who_drops_large_hellos_is_found(probe, nginx):
    def serve(connection):
        data = connection.recv(65536)
        if len(data) < 1400 and record_size(data.ljust(5)) < 1400:
            relay(connection, nginx.ports["good"], data)

    with raw_server(serve) as port:
        report = probe(port)
    assert report.code == 1 and report.names() == ["large_hello"], report.findings
    assert report.outcomes("tls13", "tls13-mlkem", *CLOUDFLARE) == ["ok", "fail", "fail", "ok"]


def abort(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("serve, name, text", [
    (lambda connection: None, "peer_closed", "closes every connection without a byte"),
    (abort, "peer_reset", "resets every connection without a byte"),
    (lambda connection: read_until(connection, b"never", 1 << 20), "timeout", "takes connections and says nothing"),
    (lambda connection: connection.sendall(b"220 mail.test ESMTP\r\n"), "not_tls", "another protocol (it said '220"),
    (lambda connection: connection.sendall(b"\x15\x03\x01\x00\x02\x02\x28"), "peer_alert_handshake_failure",
     "refuses every client alike"),
])  # fmt: skip
def test_who_lets_nobody_in_is_told_how(probe, serve, name, text):
    def told(connection):
        connection.recv(65536)  # a hello that was not read would end in a reset
        serve(connection)

    with raw_server(told if serve is not abort else serve) as port:
        report = probe(port, "--timeout", "0.4")
    assert report.code == 1 and report.names() == [name], report.findings
    assert report.findings[0]["cloudflare"] == 525 and text in report.findings[0]["text"]
    if name == "timeout":
        # The others would only wait, too.
        assert set(report.rows) == {"tls13", "tls13-mlkem", "plain-http"} and len(report.json["skipped"]) == 14


@contextlib.contextmanager
def tls_server(leaf, answer, alpn=("h2", "http/1.1")):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(leaf.chain, leaf.key)
    context.set_alpn_protocols(list(alpn))

    def serve(connection):
        connection.settimeout(20)
        with contextlib.suppress(ssl.SSLError), context.wrap_socket(connection, server_side=True) as stream:
            if stream.recv(65536):
                stream.sendall(answer(stream))
                stream.recv(65536)

    with raw_server(serve) as port:
        yield port


def head(*fields: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", "Content-Length: 0", *fields, "", ""]).encode()


def test_who_chooses_h2_and_does_not_speak_it_is_found(probe, files):
    with tls_server(files.rsa, lambda stream: head()) as port:
        report = probe(port)
    assert report.code == 1 and report.names() == ["h2_not_spoken"], report.findings
    assert report.findings[0]["cloudflare"] == 520
    assert "does not speak HTTP/2 but 'HTTP/1.1 200 OK'" in report.rows["h2-only"]["note"]
    # Who does not ask, is not told.
    with tls_server(files.rsa, lambda stream: head()) as port:
        assert probe(port, "--no-http").code == 0


def test_a_response_head_that_cloudflare_would_not_take_is_found(probe, files):
    cookies = [f"Set-Cookie: n{i}={'x' * 4000}" for i in range(40)]
    with tls_server(files.rsa, lambda stream: head(*cookies), alpn=("http/1.1",)) as port:
        report = probe(port, "--as", "http1-only")
    assert report.code == 1 and report.names() == ["response_head_too_large"], report.findings
    assert report.findings[0]["cloudflare"] == 520


def test_what_is_no_http_and_what_never_comes_is_found(probe, files):
    with tls_server(files.rsa, lambda stream: b"+OK ready\r\n") as port:
        report = probe(port, "--as", "http1-only")
    assert report.names() == ["http_malformed"] and report.findings[0]["cloudflare"] == 520
    with tls_server(files.rsa, lambda stream: b"") as port:
        report = probe(port, "--as", "http1-only,no-alpn", "--timeout", "0.5")
    assert report.names() == ["http_no_answer"] and report.findings[0]["cloudflare"] == 524


# ---- the command -----------------------------------------------------------------------------


def test_nothing_of_the_server_reaches_the_terminal_unescaped(probe, files):
    evil = files.middle.leaf("localhost", key="rsa", common_name="\x1b]0;owned\x07\u202egpj")
    with tls_server(evil, lambda stream: b"HTTP/1.1 200 \x1b[31m\x9b\xc2\x9bred\r\n\r\n", alpn=("http/1.1",)) as port:
        out = probe.text(port, "--as", "http1-only,no-sni,plain-http")
        report = probe(port, "--as", "http1-only")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", out), repr(out)
    assert r"\x1b[31m\x9b\xc2\x9bred" in out
    assert r"\x1b[31m" in report.rows["http1-only"]["note"]


def test_the_report_in_words(probe, nginx):
    out = probe.text(nginx.ports["no_h2"])
    lines = out.splitlines()
    assert re.match(r"127\.0\.0\.1 at 127\.0\.0\.1:\d+, asked for localhost, at 2", lines[0])
    assert re.match(r"client +outcome +version +suite +group +ALPN +certificate +note$", lines[2])
    assert re.search(r"^cloudflare-12 +ok +TLSv1.2 +ECDHE-ECDSA-AES128-GCM-SHA256 +X25519 ", out, re.MULTILINE)
    assert re.search(r"^h2-only +fail .* alert no_application_protocol: no_alpn_overlap$", out, re.MULTILINE), out
    assert re.search(r"^warn  no_alpn_overlap: the server does not choose h2", out, re.MULTILINE)
    assert "Chain as sent to tls13" in out and "it holds" in out


def test_only_the_clients_that_were_asked_for(probe, nginx):
    report = probe(nginx.ports["chacha"], "--as", "cloudflare-12,tls12")
    assert list(report.rows) == ["tls12", "cloudflare-12"]
    assert report.names() == ["no_shared_cipher"] and report.findings[0]["cloudflare"] == 525


def test_elsewhere_than_the_name_says(command, nginx, files):
    port = nginx.ports["good"]
    for words in (["localhost:1", "--connect", f"127.0.0.1:{port}"], [f"localhost:{port}", "--connect", "127.0.0.1"],
                  [f"localhost:{port}"]):  # fmt: skip
        code, out, err = command(*words, "--roots", files.root.pem, "--json", "--as", "tls13")
        report = json.loads(out)
        assert (code, report["address"], report["sni"]) == (0, f"127.0.0.1:{port}", "localhost"), err
    # An address is no name: nothing is asked for, and the certificate is not for it.
    code, out, _ = command(f"127.0.0.1:{port}", "--roots", files.root.pem, "--json", "--as", "tls13")
    assert code == 1 and json.loads(out)["sni"] == ""
    assert [one["name"] for one in json.loads(out)["findings"] if one["severity"] == "fail"] == ["name_not_covered"]


def test_wrong_usage_and_servers_that_are_not_there(command, refused_port, files):
    for words, text in (
        ([], "SERVER is required"),
        (["localhost:http"], "is no HOST:PORT"),
        (["::1"], "an IPv6 address stands in brackets"),
        (["localhost", "--as", "ie6"], "no client is called ie6; there are tls13, tls13-mlkem"),
        (["localhost", "--timeout", "0"], "--timeout"),
        (["localhost", "--roots", files.folder / "none.pem"], "none.pem cannot be read"),
        (["nowhere.invalid"], "nowhere.invalid has no address"),
        ([f"127.0.0.1:{refused_port}"], "nothing listens there, or a firewall says so; Cloudflare's visitors see error 521"),
    ):
        code, out, err = command(*words)
        assert code == 2 and text in out + err, (words, out, err)
