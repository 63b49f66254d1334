# labels: multiworker
"""Sessions are resumed by stateless tickets, on every worker and across reloads, and only under
the host, the policy and the client-certificate rule that they were made for: a ticket of an open
host must not open a closed one (CVE-2025-23419)."""

import ssl

import pytest
from harness import config
from harness.clients import read_until, run, tls, tls_context
from harness.process import wait_until

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def reply(text: str) -> list[dict]:
    return [{"reply": {"status": 200, "body": text}}]


class Client:
    """One ssl context, under which alone Python takes a session again. It asks each time, for a
    TLS 1.3 ticket comes behind the handshake and a refused certificate shows no sooner."""

    def __init__(self, gw, certs, version=V13, show=None):
        self.gw = gw
        self.context = tls_context(certs.ca.pem, alpn=("http/1.1",), maximum=version, client=show)

    def visit(self, name: str, session=None):
        """(session, whether it was resumed, the name that the certificate was made for)"""
        with tls(self.gw.port(), self.context, name, session) as connection:
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
            head = read_until(connection, b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            return connection.session, connection.session_reused, connection.getpeercert()["subject"][0][0][1]


@pytest.fixture
def gw(gateway, origin, certs, tmp_path):
    """All that tells two hosts apart, one difference each."""

    def start(**changes):
        made = config.basic([certs.localhost], [origin.endpoint()], tmp_path)
        ca, other = str(certs.ca.pem), str(certs.other_ca.pem)
        made["tls"] = {
            "missing_sni": "a.test",
            "policies": {
                "strict": {"cipher_suites": ["TLS_AES_128_GCM_SHA256"]},
                "request": {"client_auth": {"mode": "request", "ca": ca}},
                "require": {"client_auth": {"mode": "require", "ca": ca}},
                "require-other": {"client_auth": {"mode": "require", "ca": other}},
            },
        }
        names = {"a.test": "default", "b.test": "default", "strict.test": "strict", "request.test": "request",
                 "require.test": "require", "require-too.test": "require", "other.test": "require-other"}  # fmt: skip
        leafs = {name: certs.ca.leaf(name) for name in names}
        made["hosts"] = [
            config.host(name, [leafs[name]], reply(name), tls={"policy": policy}) for name, policy in names.items()
        ]
        started = gateway(config.merged(made, changes))
        started.made = made
        return started

    return start


@pytest.mark.parametrize("version", [V12, V13])
def test_a_session_is_resumed_again_and_again(gw, certs, version):
    gateway = gw()
    client = Client(gateway, certs, version)
    session, reused, _ = client.visit("a.test")
    assert not reused
    for _ in range(5):
        session, reused, _ = client.visit("a.test", session)
        assert reused
    metrics = gateway.metrics()
    assert metrics.value("sallyport_tls_handshakes_total", host="a.test", resumed="true") == 5
    assert metrics.value("sallyport_tls_handshakes_total", host="a.test", resumed="false") == 1


@pytest.mark.parametrize("version", [V12, V13])
def test_every_worker_takes_the_tickets_of_every_other(gw, certs, version):
    """The kernel spreads connections: tickets that one worker alone knew would work by luck."""
    client = Client(gw(workers=2), certs, version)
    session, _, _ = client.visit("a.test")
    for _ in range(40):  # by a chance of 2^-40 all at one worker
        _, reused, _ = client.visit("a.test", session)
        assert reused


@pytest.mark.parametrize("version", [V12, V13])
def test_a_reload_keeps_sessions(gw, certs, version):
    """Else each reload would be a storm of full handshakes."""
    gateway = gw(workers=2)
    client = Client(gateway, certs, version)
    session, _, _ = client.visit("a.test")
    assert gateway.reload()
    assert gateway.reload({**gateway.made, "workers": 2, "timeouts": {"idle": "30s", "drain": "5s"}})
    for _ in range(10):
        _, reused, _ = client.visit("a.test", session)
        assert reused


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_resumes(gw, tmp_path, version):
    gateway = gw(workers=2)
    base = ["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.port()}", "-servername", "a.test", version]
    # The request keeps it there until the ticket of TLS 1.3 has come.
    visit = {"stdin": b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"}
    assert "New, TLSv1" in run(*base, "-ign_eof", "-sess_out", tmp_path / "session", **visit).stdout
    for _ in range(4):
        done = run(*base, "-ign_eof", "-sess_in", tmp_path / "session", **visit)
        assert "Reused, TLSv1" in done.stdout and "HTTP/1.1 200" in done.stdout, done.stdout + done.stderr


def test_gnutls_resumes(gw, certs):
    gateway = gw(workers=2)
    for version in ("TLS1.2", "TLS1.3"):
        done = run("gnutls-cli", "-p", gateway.port(), "--x509cafile", certs.ca.pem, "--sni-hostname", "a.test",
                   "--verify-hostname", "a.test", "--priority", f"NORMAL:-VERS-ALL:+VERS-{version}", "--resume",
                   "--waitresumption", "127.0.0.1")  # fmt: skip
        assert "This is a resumed session" in done.stdout, done.stdout + done.stderr


# From whose ticket, to which host; the client shows a certificate of the CA `ca` where asked.
FOREIGN = [
    ("a.test", "b.test"),  # same policy, another host
    ("a.test", "strict.test"),
    ("strict.test", "a.test"),
    ("a.test", "request.test"),
    ("request.test", "a.test"),
    ("request.test", "require.test"),
    ("require.test", "require-too.test"),  # same rule, another host
    ("require.test", "a.test"),
]


@pytest.mark.parametrize("version", [V12, V13])
def test_a_ticket_of_another_host_is_passed_over_in_silence(gw, certs, version):
    """The handshake is a full one, with that host's own certificate."""
    client = Client(gw(), certs, version, certs.client)
    for source, target in FOREIGN:
        session, _, _ = client.visit(source)
        _, reused, shown = client.visit(target, session)
        assert (reused, shown) == (False, target), (source, target)
        assert client.visit(source, session)[1], "it is good where it is from"


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("source", ["a.test", "request.test"])
def test_a_ticket_of_an_open_host_does_not_open_a_closed_one(gw, certs, version, source):
    gateway = gw()
    client = Client(gateway, certs, version)  # without a certificate
    session, _, _ = client.visit(source)
    for target in ("require.test", "other.test"):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            client.visit(target, session)
    gateway.wait_metric("sallyport_tls_handshake_failures_total", 2, reason="client_cert_missing")
    assert gateway.metrics().value("sallyport_tls_handshakes_total", resumed="true") == 0


@pytest.mark.parametrize("version", [V12, V13])
def test_a_ticket_under_one_ca_does_not_pass_for_another(gw, certs, version):
    gateway = gw()
    client = Client(gateway, certs, version, certs.client)
    session, _, _ = client.visit("require.test")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        client.visit("other.test", session)
    gateway.wait_metric("sallyport_tls_handshake_failures_total", 1, reason="client_cert_untrusted", host="other.test")


@pytest.mark.parametrize("version", [V12, V13])
def test_a_ticket_of_a_client_with_a_certificate_keeps_its_name(gw, certs, version):
    """Resumed, the verdict of the full handshake stands: it is the same host under the same rule."""
    gateway = gw()
    client = Client(gateway, certs, version, certs.client)
    session, _, _ = client.visit("require.test")
    assert client.visit("require.test", session)[1]
    assert gateway.metrics().value("sallyport_tls_client_cert_total", host="require.test", result="ok") == 2


@pytest.mark.parametrize("version", [V12, V13])
def test_a_ticket_from_before_a_rule_was_made_does_not_pass_it(gw, certs, version):
    """The host's name is the same; what it asks for is not."""
    gateway = gw()
    client = Client(gateway, certs, version)
    session, _, _ = client.visit("a.test")
    made = gateway.made
    made["hosts"][0]["tls"]["policy"] = "require"
    assert gateway.reload(made)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        client.visit("a.test", session)
    gateway.wait_metric("sallyport_tls_handshake_failures_total", 1, reason="client_cert_missing")
    made["hosts"][0]["tls"]["policy"] = "strict"
    assert gateway.reload(made)
    assert not client.visit("a.test", session)[1]
    made["hosts"][0]["tls"]["policy"] = "default"
    assert gateway.reload(made)
    assert client.visit("a.test", session)[1]


@pytest.mark.parametrize("version", [V12, V13])
def test_tickets_may_be_turned_off(gw, certs, version):
    gateway = gw(tls={"tickets": False})
    client = Client(gateway, certs, version)
    session, _, _ = client.visit("a.test")
    assert session is None or not session.has_ticket
    assert not client.visit("a.test", session)[1]
    assert gateway.metrics().value("sallyport_tls_handshakes_total", resumed="false") == 2


def test_a_restart_forgets_all_tickets(gw, certs):
    """The keys are random and never written down: what was recorded stays closed."""
    first = gw()
    client = Client(first, certs)
    session, _, _ = client.visit("a.test")
    first.stop()
    client.gw = gw()
    assert not client.visit("a.test", session)[1]


def test_a_ticket_that_was_tampered_with_is_a_full_handshake(gw, certs, tmp_path):
    """No key of ours, no failure either: a client may come with a ticket of yesterday."""
    gateway = gw()
    kept = tmp_path / "session.pem"
    base = ["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.port()}", "-servername", "a.test", "-tls1_2"]
    run(*base, "-sess_out", kept, stdin=b"Q\n")
    assert "Reused, " in run(*base, "-sess_in", kept, stdin=b"Q\n").stdout
    der = ssl.PEM_cert_to_DER_cert(kept.read_text().replace("SSL SESSION PARAMETERS", "CERTIFICATE"))
    shown = run("openssl", "sess_id", "-in", kept, "-noout", "-text").stdout
    line = next(row for row in shown.splitlines() if "0010 - " in row)
    part = bytes.fromhex(line.split(" - ")[1][:47].replace("-", " "))
    at = der.index(part)
    broken = der[:at] + bytes([der[at] ^ 1]) + der[at + 1 :]
    text = ssl.DER_cert_to_PEM_cert(broken).replace("CERTIFICATE", "SSL SESSION PARAMETERS")
    kept.write_text(text)
    done = run(*base, "-sess_in", kept, stdin=b"Q\n")
    assert "New, TLSv1.2" in done.stdout, done.stdout + done.stderr
    wait_until(lambda: gateway.metrics().value("sallyport_tls_handshakes_total") == 3, "3 handshakes", process=gateway)
