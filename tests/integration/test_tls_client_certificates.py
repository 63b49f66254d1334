"""Client certificates: off, asked for, or required, host by host; what the client is told by
alert, what is counted, and what the upstream is not told by the client itself."""

import ssl

import pytest
from harness import config
from harness.clients import curl, read_until, s_client, tls, tls_context

FAILURES = "sallyport_tls_handshake_failures_total"
COUNT = "sallyport_tls_client_cert_total"
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
MODES = ("off", "request", "require")


@pytest.fixture(scope="module")
def leafs(certs):
    return {
        "good": certs.client,
        "intermediate": certs.ca.intermediate("Clients below").leaf("bob", client=True),
        "untrusted": certs.other_ca.leaf("mallory", client=True),
        "expired": certs.ca.leaf("old", client=True, end=-1),
        "future": certs.ca.leaf("early", client=True, start=2),
        "no-client": certs.ca.leaf("server.test"),  # for servers: extended key usage
    }


@pytest.fixture
def gw(gateway, origin, certs, tmp_path):
    """off.test, request.test and require.test."""
    made = config.basic([certs.localhost], [origin.endpoint()], tmp_path)
    auth = {mode: {"client_auth": {"mode": mode, "ca": str(certs.ca.pem)}} for mode in MODES}
    made["tls"] = {"policies": auth}
    made["hosts"] = [
        config.host(f"{mode}.test", [certs.ca.leaf(f"{mode}.test")], [{"upstream": "web"}], tls={"policy": mode})
        for mode in MODES
    ]
    return gateway(made)


def visit(gw, certs, mode, leaf, version) -> bytes:
    """The response's head. A refused certificate shows with the first read in TLS 1.3."""
    context = tls_context(certs.ca.pem, alpn=("http/1.1",), client=leaf, maximum=version)
    name = f"{mode}.test"
    with tls(gw.port(), context, name) as connection:
        connection.sendall(f"GET /bytes/0 HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
        return read_until(connection, b"\r\n\r\n")


REFUSED = [
    # what is shown, the alert in TLS 1.2 and 1.3 (RFC 5246 §7.4.6, RFC 8446 §4.4.2.4), reason, result
    (None, "handshake failure", "certificate required", "client_cert_missing", "absent"),
    ("untrusted", "unknown ca", "unknown ca", "client_cert_untrusted", "untrusted"),
    ("expired", "certificate expired", "certificate expired", "client_cert_expired", "expired"),
    ("future", "bad certificate", "bad certificate", "client_cert_expired", "expired"),
    ("no-client", "unsupported certificate", "unsupported certificate", "client_cert_untrusted", "untrusted"),
]


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case[0] or "missing")
def test_a_host_that_requires_a_certificate_says_what_is_wrong_with_it(gw, certs, leafs, case, version):
    shown, alert12, alert13, reason, result = case
    with pytest.raises(ssl.SSLError) as failed:
        visit(gw, certs, "require", leafs.get(shown), version)
    assert (alert12 if version == V12 else alert13) in str(failed.value).replace("_", " ").lower()
    gw.wait_metric(FAILURES, 1, host="require.test", stage="client_cert", reason=reason)
    metrics = gw.metrics()
    assert metrics.value(COUNT, host="require.test", result=result) == 1
    assert metrics.value(COUNT) == 1
    assert metrics.value("sallyport_tls_handshakes_total") == 0
    gw.wait_log(f"handshake_failed.*{reason}")


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("shown", ["good", "intermediate"])
def test_a_good_certificate_is_taken(gw, certs, leafs, shown, version):
    for mode in ("request", "require"):
        assert visit(gw, certs, mode, leafs[shown], version).startswith(b"HTTP/1.1 200")
        assert gw.metrics().value(COUNT, host=f"{mode}.test", result="ok") == 1


@pytest.mark.parametrize("version", [V12, V13])
def test_a_host_that_only_asks_reports_and_refuses_nobody(gw, certs, leafs, version):
    for shown, result in ((None, "absent"), ("good", "ok"), ("untrusted", "untrusted"), ("expired", "expired")):
        before = gw.metrics().value(COUNT, host="request.test", result=result)
        assert visit(gw, certs, "request", leafs.get(shown), version).startswith(b"HTTP/1.1 200")
        assert gw.metrics().value(COUNT, host="request.test", result=result) == before + 1
    assert gw.metrics().value(FAILURES) == 0


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_who_is_asked_is_told_which_cas_count_and_who_is_not_is_not(gw, certs, version):
    asked = s_client(gw.port(), version, sni="require.test", stdin=b"").stdout
    assert "Acceptable client certificate CA names\nCN = Test root" in asked, asked
    assert "No client certificate CA names sent" in s_client(gw.port(), version, sni="off.test").stdout


def test_a_host_without_the_rule_does_not_look(gw, certs, leafs):
    for shown in ("good", "untrusted", None):
        assert visit(gw, certs, "off", leafs.get(shown), V13).startswith(b"HTTP/1.1 200")
    assert gw.metrics().value(COUNT) == 0


def test_curl_is_served_with_and_turned_away_without(gw, certs):
    url = f"https://require.test:{gw.port()}/bytes/0"
    shown = ("--cert", certs.client.chain, "--key", certs.client.key)
    for http in ("1.1", "2"):
        assert curl(url, *shown, http=http, host="require.test", cacert=certs.ca.pem).status == 200
        refused = curl(url, http=http, host="require.test", cacert=certs.ca.pem)
        assert refused.exit_code != 0 and refused.status == 0, refused
        assert "alert" in refused.error, refused.error


def test_the_rules_hold_for_every_order_of_handshakes(gw, certs, leafs):
    """One host's verify mode must not stay behind for the next."""
    for _ in range(3):
        for mode, leaf, fine in (("off", None, True), ("require", None, False), ("request", None, True),
                                 ("require", leafs["good"], True), ("off", None, True)):  # fmt: skip
            if fine:
                assert visit(gw, certs, mode, leaf, V13).startswith(b"HTTP/1.1 200")
                continue
            with pytest.raises(ssl.SSLError):
                visit(gw, certs, mode, leaf, V13)


def test_a_chain_deeper_than_the_rule_allows_is_not_trusted(gateway, origin, certs, tmp_path):
    deep = certs.ca.intermediate("One").intermediate("Two").leaf("deep", client=True)
    for depth, served in ((2, True), (1, False)):
        made = config.basic([certs.localhost], [origin.endpoint()], tmp_path)
        auth = {"mode": "require", "ca": str(certs.ca.pem), "depth": depth}
        made["tls"] = {"policies": {"default": {"client_auth": auth}}}
        gw = gateway(made)
        context = tls_context(certs.ca.pem, alpn=("http/1.1",), client=deep)

        def ask():
            with tls(gw.port(), context) as connection:
                connection.sendall(b"GET /bytes/0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
                return read_until(connection, b"\r\n\r\n")

        if served:
            assert ask().startswith(b"HTTP/1.1 200")
            continue
        with pytest.raises(ssl.SSLError):
            ask()
        gw.wait_metric(FAILURES, 1, reason="client_cert_untrusted")


def test_a_rule_without_a_readable_ca_stops_the_start_and_names_the_file(gateway, origin, certs, tmp_path):
    """A rule that trusts nobody by mistake, or everybody, must not come up."""
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing here\n")
    for ca in (empty, tmp_path / "absent.pem"):
        made = config.basic([certs.localhost], [origin.endpoint()], tmp_path)
        made["tls"] = {"policies": {"default": {"client_auth": {"mode": "require", "ca": str(ca)}}}}
        assert str(ca) in gateway(made, ready=False).expect_exit(1)
