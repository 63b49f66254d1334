# labels: multiworker
"""Which host answers a handshake, with which certificate, under which policy, and that no host's
rules leak into another's; and that a request stays with the host of its handshake (421)."""

import concurrent.futures
import re
import ssl

import pytest
import yaml
from cryptography import x509
from harness import config
from harness.clients import curl, read_until, run, s_client, tls, tls_context
from harness.h2client import H2Client

FAILURES = "sallyport_tls_handshake_failures_total"
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def reply(text: str) -> list[dict]:
    return [{"reply": {"status": 200, "body": text}}]


def shown(port, certs, sni: str | None, **more) -> int:
    """The serial number of the certificate that a name is answered with."""
    context = tls_context(certs.ca.pem, **more)
    context.check_hostname = False
    with tls(port, context, sni) as connection:
        return x509.load_der_x509_certificate(connection.getpeercert(True)).serial_number


def ask(connection, host: str, path: str = "/") -> bytes:
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return read_until(connection, b"\r\n\r\n")


def status_of(head: bytes) -> int:
    return int(head.split(b" ", 2)[1])


# ---- SNI -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def leafs(certs):
    ca = certs.ca
    return {
        "a": ca.leaf("a.test", "www.a.test"),
        "wild": ca.leaf("*.b.test"),
        "exact": ca.leaf("exact.b.test"),
        "rest": ca.leaf("rest.test"),
    }


@pytest.fixture
def named(gateway, origin, certs, leafs, tmp_path):
    """named(**tls): hosts by exact name and by wildcard, under these keys of `tls`."""

    def start(**rules):
        made = config.basic([certs.localhost], [origin.endpoint()], tmp_path, tls=rules)
        made["hosts"] = [
            config.host(["a.test", "www.a.test"], [leafs["a"]], reply("a")),
            config.host(["*.b.test"], [leafs["wild"]], reply("wild")),
            config.host(["exact.b.test"], [leafs["exact"]], reply("exact")),
            config.host(["rest.test"], [leafs["rest"]], reply("rest")),
        ]
        return gateway(made)

    return start


def test_the_certificate_is_that_of_the_name_that_was_asked_for(named, certs, leafs):
    gw = named()
    for sni, leaf in (("a.test", "a"), ("www.a.test", "a"), ("x.b.test", "wild"), ("exact.b.test", "exact"),
                      ("rest.test", "rest"), ("A.TEST", "a"), ("X.b.TesT", "wild")):  # fmt: skip
        for version in (V12, V13):
            assert shown(gw.port(), certs, sni, maximum=version) == leafs[leaf].serial, sni
        assert curl(f"https://{sni}:{gw.port()}/", host=sni, cacert=certs.ca.pem).body.decode() == leaf


@pytest.mark.parametrize("sni", ["b.test", "x.y.b.test", "xb.test", "nobody.test", "a.test.nobody.test", ".b.test"])
def test_a_name_of_nobody_is_refused_by_alert(named, sni):
    """No certificate of ours is shown to who asks for another name; "*." is one label, not two."""
    gw = named()
    refused = s_client(gw.port(), sni=sni)
    assert "SSL alert number 112" in refused.stderr, refused.stderr
    assert "BEGIN CERTIFICATE" not in refused.stdout
    gw.wait_metric(FAILURES, 1, reason="unknown_sni", host="_unmatched")


def test_an_unknown_name_may_be_given_to_a_host(named, certs, leafs):
    gw = named(unknown_sni="rest.test")
    assert shown(gw.port(), certs, "nobody.test") == leafs["rest"].serial
    assert shown(gw.port(), certs, "a.test") == leafs["a"].serial
    assert "SSL alert number 112" in s_client(gw.port(), sni=None).stderr


def test_no_name_is_refused_unless_a_host_is_named_for_it(named, certs, leafs):
    gw = named()
    assert "SSL alert number 112" in s_client(gw.port(), sni=None).stderr
    gw.wait_metric(FAILURES, 1, reason="missing_sni", host="_unmatched")
    gw = named(missing_sni="rest.test")
    assert shown(gw.port(), certs, None) == leafs["rest"].serial
    assert "SSL alert number 112" in s_client(gw.port(), sni="nobody.test").stderr


# ---- ECDSA and RSA side by side ------------------------------------------------------------


@pytest.fixture
def pair(gateway, origin, certs, tmp_path):
    return gateway(config.basic([certs.localhost, certs.localhost_rsa], [origin.endpoint()], tmp_path))


@pytest.mark.parametrize("order", ["ecdsa-first", "rsa-first"])
def test_the_chain_is_picked_by_what_the_client_offers(gateway, origin, certs, tmp_path, order):
    both = [certs.localhost, certs.localhost_rsa]
    gw = gateway(config.basic(both if order == "ecdsa-first" else both[::-1], [origin.endpoint()], tmp_path))
    offers = [
        (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], "ECDSA"),
        (["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "RSA"),
        (["-tls1_3", "-sigalgs", "ECDSA+SHA256"], "ECDSA"),
        (["-tls1_3", "-sigalgs", "RSA-PSS+SHA256"], "RSA"),
        (["-tls1_3", "-sigalgs", "RSA-PSS+SHA256:ECDSA+SHA256"], None),
    ]
    for arguments, kind in offers:
        done = s_client(gw.port(), *arguments, "-CAfile", certs.ca.pem)
        assert "Verify return code: 0" in done.stdout, done.stdout + done.stderr
        if kind:
            assert re.search(f"Peer signature type: {kind}", done.stdout), done.stdout
    # A client of today offers both: the one that is 30 times cheaper for us.
    assert shown(gw.port(), certs, "localhost") == certs.localhost.serial
    metrics = gw.metrics()
    assert metrics.value("sallyport_tls_sigalgs_total", sigalg="rsa_pss_rsae_sha256") >= 1
    assert metrics.value("sallyport_tls_sigalgs_total", sigalg="ecdsa_secp256r1_sha256") >= 1


def test_gnutls_is_served_by_both_chains(pair, certs):
    for version, offer, shown_as in (
        ("TLS1.2", "-KX-ALL:+ECDHE-RSA", "RSA"),
        ("TLS1.2", "-KX-ALL:+ECDHE-ECDSA", "ECDSA"),
        ("TLS1.3", "-SIGN-ALL:+SIGN-RSA-PSS-RSAE-SHA256:+SIGN-ECDSA-SHA256", "RSA"),
        ("TLS1.3", "-SIGN-ALL:+SIGN-ECDSA-SECP256R1-SHA256", "ECDSA"),
    ):
        done = run("gnutls-cli", "-p", pair.port(), "--x509cafile", certs.ca.pem, "--sni-hostname", "localhost",
                   "--verify-hostname", "localhost", "--priority", f"NORMAL:-VERS-ALL:+VERS-{version}:{offer}",
                   "127.0.0.1")  # fmt: skip
        assert "The certificate is trusted" in done.stdout, done.stdout + done.stderr
        assert re.search(rf"Description: \({version}-X.509\)-\(ECDHE-\w+\)-\({shown_as}-", done.stdout), done.stdout


def test_intermediates_are_sent_with_the_leaf(gateway, origin, certs, tmp_path):
    leaf = certs.ca.intermediate("Test between").leaf("localhost", key="ecdsa384")
    gw = gateway(config.basic([leaf], [origin.endpoint()], tmp_path))
    assert shown(gw.port(), certs, "localhost") == leaf.serial


# ---- policies ------------------------------------------------------------------------------

OLD = {"min_version": "1.2", "max_version": "1.2", "groups": ["P-384"], "alpn": ["http/1.1"],
       "ciphers": ["ECDHE-ECDSA-AES256-GCM-SHA384"]}  # fmt: skip
NEW = {"min_version": "1.3", "max_version": "1.3", "groups": ["X25519"], "alpn": ["h2"],
       "cipher_suites": ["TLS_CHACHA20_POLY1305_SHA256"]}  # fmt: skip


@pytest.fixture
def apart(gateway, origin, certs, tmp_path):
    """old.test and new.test have nothing in common, and differ in everything from the default."""

    def start(order=("old", "new"), **changes):
        made = config.basic([certs.localhost], [origin.endpoint()], tmp_path, **changes)
        made["tls"] = {"policies": {"old": OLD, "new": NEW}}
        hosts = [
            config.host(f"{name}.test", [certs.ca.leaf(f"{name}.test")], reply(name), tls={"policy": name})
            for name in order
        ]
        made["hosts"] = [made["hosts"][0], *hosts]
        return gateway(made)

    return start


# host, arguments, alert or what is to be negotiated
BY_POLICY = [
    ("old.test", [], ["TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384", "secp384r1"]),
    ("old.test", ["-tls1_3"], 70),
    ("old.test", ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], 40),
    ("old.test", ["-groups", "X25519:P-256"], 40),
    ("old.test", ["-groups", "P-256:P-384"], ["TLSv1.2", "secp384r1"]),
    ("old.test", ["-alpn", "h2"], 120),
    ("old.test", ["-alpn", "h2,http/1.1"], ["ALPN protocol: http/1.1"]),
    ("new.test", [], ["TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256", "X25519"]),
    ("new.test", ["-tls1_2"], 70),
    ("new.test", ["-ciphersuites", "TLS_AES_128_GCM_SHA256"], 40),
    ("new.test", ["-groups", "P-384:P-256"], 40),
    ("new.test", ["-groups", "P-384:X25519"], ["TLSv1.3", "X25519"]),  # by a HelloRetryRequest
    ("new.test", ["-alpn", "http/1.1"], 120),
    ("new.test", ["-alpn", "http/1.1,h2"], ["ALPN protocol: h2"]),
    ("localhost", ["-tls1_2", "-groups", "P-256"], ["TLSv1.2", "AES128-GCM"]),
    ("localhost", ["-tls1_3", "-groups", "P-384"], ["TLSv1.3", "TLS_AES_"]),
    ("localhost", ["-alpn", "http/1.1,h2"], ["ALPN protocol: h2"]),  # our order decides
    ("localhost", [], ["No ALPN negotiated"]),
]


def check_policy(gw, case) -> None:
    sni, arguments, wanted = case
    done = s_client(gw.port(), *arguments, sni=sni)
    if isinstance(wanted, int):
        assert f"SSL alert number {wanted}" in done.stderr, (case, done.stdout, done.stderr)
        return
    for text in wanted:
        assert text in done.stdout, (case, done.stdout, done.stderr)


@pytest.mark.parametrize("order", [("old", "new"), ("new", "old")], ids="-then-".join)
def test_each_host_keeps_to_its_policy_and_to_no_other(apart, order):
    """A context chosen once and swapped by SNI later keeps versions and groups of the first."""
    gw = apart(order)
    for case in BY_POLICY if order[0] == "old" else reversed(BY_POLICY):
        check_policy(gw, case)


def test_policies_stay_apart_under_concurrent_handshakes(apart):
    gw = apart(workers=2)
    mixed = [case for both in zip(BY_POLICY[:7], BY_POLICY[7:14], strict=True) for case in both] * 2
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(check_policy, gw, case) for case in mixed]:
            done.result()


def test_policies_stay_apart_after_a_reload_turned_them_around(apart):
    gw = apart()
    made = yaml.safe_load(gw.config_file.read_text())
    for host, policy in zip(made["hosts"][1:], ("new", "old"), strict=True):
        host["tls"]["policy"] = policy
    assert gw.reload(made)
    other = {"old.test": "new.test", "new.test": "old.test", "localhost": "localhost"}
    for sni, arguments, wanted in BY_POLICY[2:14]:
        check_policy(gw, (other[sni], arguments, wanted))


def test_what_was_negotiated_shows_in_the_metrics(apart):
    gw = apart()
    s_client(gw.port(), sni="old.test")
    s_client(gw.port(), "-groups", "P-384:X25519", sni="new.test")
    metrics = gw.metrics()
    assert metrics.value("sallyport_tls_handshakes_total", host="old.test", version="1.2", alpn="none") == 1
    assert metrics.value("sallyport_tls_handshakes_total", host="new.test", version="1.3", alpn="none") == 1
    assert metrics.value("sallyport_tls_groups_total", group="P-384") == 1
    assert metrics.value("sallyport_tls_groups_total", group="X25519") == 1
    assert metrics.value("sallyport_tls_ciphers_total", cipher="TLS_CHACHA20_POLY1305_SHA256") == 1
    assert metrics.value("sallyport_tls_hello_retry_requests_total") == 1


# ---- ALPN ----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [V12, V13])
def test_without_alpn_http1_is_spoken(pair, certs, version):
    context = tls_context(certs.ca.pem, alpn=(), maximum=version)
    with tls(pair.port(), context) as connection:
        assert connection.selected_alpn_protocol() is None
        assert ask(connection, "localhost", "/bytes/0").startswith(b"HTTP/1.1 200")


def test_without_alpn_http1_is_spoken_also_where_only_h2_is_offered(apart, certs):
    """RFC 7301 asks for no more than to refuse what has no overlap."""
    gw = apart()
    with tls(gw.port(), tls_context(certs.ca.pem, alpn=()), "new.test") as connection:
        assert ask(connection, "new.test").startswith(b"HTTP/1.1 200")


# ---- 421 -----------------------------------------------------------------------------------


@pytest.fixture
def coalesced(gateway, origin, certs, tmp_path):
    """One certificate that holds all names, so that browsers would share a connection between them."""
    made = config.basic([certs.localhost], [origin.endpoint()], tmp_path)
    all_names = certs.ca.leaf("a.test", "www.a.test", "b.test", "closed.test")
    made["tls"] = {"missing_sni": "b.test",
                   "policies": {"closed": {"client_auth": {"mode": "require", "ca": str(certs.ca.pem)}}}}  # fmt: skip
    made["hosts"] = [
        config.host(["a.test", "www.a.test"], [all_names], reply("a")),
        config.host(["b.test"], [all_names], reply("b")),
        config.host(["closed.test"], [all_names], reply("closed"), tls={"policy": "closed"}),
    ]
    return gateway(made)


# handshake's name, authority, status
MISDIRECTED = [
    ("a.test", "a.test", 200),
    ("a.test", "A.Test:443", 200),
    ("a.test", "www.a.test", 200),
    ("www.a.test", "a.test", 200),
    ("a.test", "b.test", 421),
    ("a.test", "closed.test", 421),  # else a client certificate rule is passed by asking elsewhere first
    ("a.test", "nobody.test", 421),
    ("a.test", "127.0.0.1", 421),
    ("b.test", "a.test", 421),
    ("b.test", "127.0.0.1", 200),  # what a client without SNI is led to
    ("closed.test", "closed.test", 200),
    ("closed.test", "a.test", 421),
]


def contexts(certs, alpn, version=V13):
    """One for each name, as a ticket is kept by its context."""
    names = {sni for sni, _, _ in MISDIRECTED}
    return {sni: tls_context(certs.ca.pem, alpn=alpn, client=certs.client, maximum=version) for sni in names}


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("resumed", [False, True], ids=["full", "resumed"])
def test_http1_requests_stay_with_the_host_of_their_handshake(coalesced, certs, version, resumed):
    by_name = contexts(certs, ("http/1.1",), version)
    sessions = {}
    if resumed:
        for sni, context in by_name.items():
            with tls(coalesced.port(), context, sni) as connection:
                assert status_of(ask(connection, sni)) == 200
                sessions[sni] = connection.session
    for sni, authority, status in MISDIRECTED:
        with tls(coalesced.port(), by_name[sni], sni, sessions.get(sni)) as connection:
            assert connection.session_reused == resumed
            head = ask(connection, authority)
            assert status_of(head) == status, (sni, authority, head)


@pytest.mark.parametrize("resumed", [False, True], ids=["full", "resumed"])
def test_h2_requests_stay_with_the_host_of_their_handshake(coalesced, certs, resumed):
    """Browsers coalesce: a connection whose certificate holds the name is used for it."""
    by_name = contexts(certs, ("h2",))
    for sni, context in by_name.items():
        session = None
        if resumed:
            with tls(coalesced.port(), context, sni) as connection:
                assert H2Client(connection).get("/", authority=sni).status == 200
                session = connection.session
        with tls(coalesced.port(), context, sni, session) as connection:
            assert connection.session_reused == resumed
            client = H2Client(connection)
            for _, authority, status in [case for case in MISDIRECTED if case[0] == sni]:
                assert client.get("/", authority=authority).status == status, (sni, authority)
            # A stray request is no reason to lose the connection.
            assert client.get("/", authority=sni).status == 200
    assert coalesced.wait_access(1, status=421)[0]["reason"] == "misdirected"


def test_curl_tries_a_misdirected_request_again_on_a_connection_of_its_own(coalesced, certs):
    """What 421 is for (RFC 9110 §15.5.20): the answer comes, from the right host."""
    port = coalesced.port()
    names = [part for name in ("a.test", "b.test") for part in ("--resolve", f"{name}:{port}:127.0.0.1")]
    done = run("curl", "-sS", "--http2", "--cacert", certs.ca.pem, *names, f"https://a.test:{port}/",
               f"https://b.test:{port}/")  # fmt: skip
    assert done.stdout == "ab", done.stderr


def test_without_sni_the_host_that_is_named_for_it_answers(coalesced, certs):
    context = tls_context(certs.ca.pem, alpn=("http/1.1",))
    for authority, status in (("127.0.0.1", 200), ("b.test", 200), ("a.test", 421)):
        with tls(coalesced.port(), context, None) as connection:
            assert status_of(ask(connection, authority)) == status, authority


def test_a_request_in_clear_text_is_never_misdirected(coalesced, certs):
    for name in ("a", "b"):
        assert curl(coalesced.url("/", "http", f"{name}.test"), host=f"{name}.test").body.decode() == name


def test_a_reload_that_tightens_a_host_cuts_its_connections_off(coalesced, certs):
    """A connection made without a certificate must not outlive the rule that asks for one."""
    context = tls_context(certs.ca.pem, alpn=("http/1.1",))
    h2 = tls_context(certs.ca.pem, alpn=("h2",))
    with tls(coalesced.port(), context, "a.test") as one, tls(coalesced.port(), h2, "a.test") as two, \
            tls(coalesced.port(), context, "b.test") as other:  # fmt: skip
        client = H2Client(two)
        assert status_of(ask(one, "a.test")) == status_of(ask(other, "b.test")) == 200
        assert client.get("/", authority="a.test").status == 200
        made = yaml.safe_load(coalesced.config_file.read_text())
        made["hosts"][0]["tls"]["policy"] = "closed"
        assert coalesced.reload(made)
        head = ask(one, "a.test")
        assert status_of(head) == 421 and b"connection: close" in head.lower(), head
        assert client.get("/", authority="a.test").status == 421
        client.wait(lambda: client.goaways, "GOAWAY")
        assert status_of(ask(other, "b.test")) == 200
