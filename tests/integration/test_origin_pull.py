"""Authenticated Origin Pulls: one word at a host, and nobody but Cloudflare gets through to it, not
over a rule to another policy, not in clear text, not on a resumed session; or, to try it out, all
get through and each that would not is told. A test CA plays that of a zone."""

import base64
import hashlib
import ssl

import pytest
from cryptography.hazmat.primitives import serialization
from harness import config
from harness.clients import read_until, s_client, tcp, tls, tls_context
from harness.process import wait_until

COUNT = "sallyport_tls_client_cert_total"
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def pin_of(leaf) -> str:
    key = leaf.certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


@pytest.fixture(scope="module")
def pulls(certs):
    return {
        "cloudflare": certs.client,
        "another zone's": certs.ca.leaf("other zone", client=True),
        "stranger": certs.other_ca.leaf("mallory", client=True),
    }


HOSTS = ("require", "report", "except", "pinned", "ruled", "global", "off")


@pytest.fixture(scope="module")
def gw(shared_gateway, origin, certs, pulls, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pull")
    made = config.basic([certs.localhost], [origin.endpoint()], folder)
    ca = str(certs.ca.pem)
    pull = {
        "require": {"mode": "require", "ca": ca},
        "report": {"mode": "report", "ca": ca},
        "except": {"mode": "require", "ca": ca, "except": ["/healthz"]},
        "pinned": {"mode": "require", "ca": ca, "spki_pins": [pin_of(pulls["cloudflare"])]},
        "ruled": {"mode": "require", "ca": ca},
        "global": "require",
        "off": "off",
    }
    made["tls"] = {
        "policies": {
            "ruled": {"rules": [{"name": "old", "when": {"versions": {"none": ["1.3"]}}, "policy": "old"}]},
            "old": {"max_version": "1.2"},
        }
    }
    made["hosts"] = [
        config.host(f"{name}.test", [certs.ca.leaf(f"{name}.test")], [{"upstream": "web"}], origin_pull=pull[name],
                    tls={"policy": "ruled"} if name == "ruled" else {})
        for name in HOSTS
    ]  # fmt: skip
    started = shared_gateway(made)
    started.made, started.folder = made, folder
    return started


def ask(gw, certs, host, leaf=None, target="/bytes/0", version=V13, session=None):
    """The status; None if the handshake failed."""
    name = f"{host}.test"
    context = tls_context(certs.ca.pem, alpn=("http/1.1",), client=leaf, maximum=version)
    try:
        with tls(gw.port(), context, name, session) as connection:
            connection.sendall(f"GET {target} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
            head = read_until(connection, b"\r\n\r\n")
    except (ssl.SSLError, ConnectionResetError, BrokenPipeError):
        return None
    return int(head.split()[1]) if head else None


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("host,who,status", [
    ("require", "cloudflare", 200), ("require", None, None), ("require", "stranger", None),
    ("report", "cloudflare", 200), ("report", None, 200), ("report", "stranger", 200),
    ("pinned", "cloudflare", 200), ("pinned", "another zone's", None), ("pinned", None, None),
    ("ruled", "cloudflare", 200), ("ruled", None, None), ("ruled", "stranger", None),
    ("global", "cloudflare", None), ("global", None, None),
    ("off", None, 200), ("off", "stranger", 200),
    ("except", "cloudflare", 200), ("except", None, 403), ("except", "stranger", 403),
])  # fmt: skip
def test_who_gets_through(gw, certs, pulls, host, who, status, version):
    assert ask(gw, certs, host, pulls.get(who), version=version) == status


def test_a_path_that_is_excepted_is_answered_without_and_with_it(gw, certs, pulls):
    """A load balancer's health check has no certificate, and nothing is renegotiated for it."""
    assert ask(gw, certs, "except", None, "/healthz") == 200
    assert ask(gw, certs, "except", pulls["cloudflare"], "/healthz") == 200
    for other in ("/healthz/", "/healthz/../x", "/Healthz", "//healthz", "/x/..//healthz2"):
        assert ask(gw, certs, "except", None, other) == 403, other
    # As everywhere, a path counts in its normal form.
    assert ask(gw, certs, "except", None, "/x/../healthz?a=b") == 200
    assert gw.metrics().value("sallyport_http_local_replies_total", reason="origin_pull") >= 5


def test_clear_text_leads_around_no_certificate(gw):
    for host, status in (("require", 403), ("except", 403), ("report", 200), ("off", 200)):
        with tcp(gw.port("http")) as connection:
            connection.sendall(f"GET /bytes/0 HTTP/1.1\r\nHost: {host}.test\r\nConnection: close\r\n\r\n".encode())
            assert int(read_until(connection, b"\r\n\r\n").split()[1]) == status, host


def test_results_are_counted_and_told(gw, certs, pulls):
    before = gw.metrics()
    ask(gw, certs, "report", None)
    ask(gw, certs, "report", pulls["stranger"])
    ask(gw, certs, "report", pulls["cloudflare"])
    after = gw.metrics()
    for result in ("absent", "untrusted", "ok"):
        labels = {"host": "report.test", "result": result}
        assert after.value(COUNT, **labels) - before.value(COUNT, **labels) == 1, result
    gw.wait_log("client_certificate_report.*report.test")
    wait_until(lambda: {"ok", "absent", "untrusted"} <= {line.get("client_cert") for line in gw.access_log() if line["host"] == "report.test"}, "the result in the access log", process=gw)  # fmt: skip


def test_the_global_ca_is_cloudflares(gw):
    shown = s_client(gw.port(), sni="global.test").stdout
    assert "CN = origin-pull.cloudflare.net" in shown or "CN=origin-pull.cloudflare.net" in shown


def test_a_session_of_one_host_resumes_at_no_other(gw, certs, pulls):
    """A ticket that was got where nothing is asked opens nothing where Cloudflare's certificate is."""
    context = tls_context(certs.ca.pem, alpn=("http/1.1",), maximum=V12)
    with tls(gw.port(), context, "off.test") as connection:
        connection.sendall(b"GET /bytes/0 HTTP/1.1\r\nHost: off.test\r\nConnection: close\r\n\r\n")
        read_until(connection, b"\r\n\r\n")
        session = connection.session
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        with tls(gw.port(), context, "require.test", session) as connection:
            connection.sendall(b"GET /bytes/0 HTTP/1.1\r\nHost: require.test\r\n\r\n")
            assert read_until(connection, b"\r\n\r\n") == b"", "it was let in"
            raise ConnectionResetError


def test_a_policy_that_asks_itself_is_refused(gateway, gw, certs, tmp_path):
    made = config.merged(gw.made, {})
    made["tls"]["policies"]["ruled"]["client_auth"] = {"mode": "request", "ca": str(certs.ca.pem)}
    log = gateway(made, ready=False).expect_exit(1)
    assert "the policy ruled asks for client certificates itself" in log
