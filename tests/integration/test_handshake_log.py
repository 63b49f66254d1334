"""A handshake that was done is told as asked: all that was negotiated in one line, whose tls_id stands in
every access log line of that connection and in no other, so that request, session and certificate join;
how many are told is exact, and never more than the configuration lets through."""

import json
import re
import ssl

import pytest
from harness import config
from harness.clients import curl, read_until, run, s_client, tcp, tls, tls_context
from harness.gateway import Gateway
from harness.h2client import H2Client
from harness.handshake import Handshake
from harness.process import wait_until

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def configuration(certs, origin, folder, **changes) -> dict:
    ca = certs.ca
    routes = [{"upstream": "web"}]
    labelled = config.host("labelled.test", [ca.leaf("labelled.test")], routes)
    labelled["tls"]["certificates"][0]["label"] = "k8s/web-tls"
    both = config.host("both.test", [ca.leaf("both.test"), ca.leaf("both.test", key="rsa")], routes)
    mtls = config.host("mtls.test", [ca.leaf("mtls.test")], routes, tls={"policy": "mtls"})
    made = config.basic([certs.localhost], [origin.endpoint()], folder, log={"format": "json"},
                        tls={"policies": {"default": {"groups": ["X25519", "P-256", "P-384"]},
                                          "mtls": {"client_auth": {"mode": "request", "ca": str(ca.pem)}}},
                             "samples": {"one_in": 1, "per_second": 10000}})  # fmt: skip
    made["hosts"] += [labelled, both, mtls]
    return config.merged(made, changes)


@pytest.fixture(scope="module")
def gw(binary, certs, origin, tmp_path_factory):
    folder = tmp_path_factory.mktemp("handshakes")
    process = Gateway(binary, configuration(certs, origin, folder), folder).wait_ready()
    yield process
    process.stop()


def events(gw, name: str) -> list[dict]:
    whole = [line for line in gw.log_file.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [line for line in map(json.loads, whole) if line["event"] == name]


@pytest.fixture
def told(gw):
    """told(): the one handshake_done line that the test made. It is written before the client hears of the
    handshake's end under TLS 1.2, and soon after that under 1.3."""
    before = len(events(gw, "handshake_done"))

    def line() -> dict:
        lines = wait_until(lambda: events(gw, "handshake_done")[before:], "a handshake_done line", process=gw)
        assert len(lines) == 1
        return lines[0]

    return line


def visit(gw, context, sni, session=None, target="/bytes/1"):
    """One request over HTTP/1.1; the session for a next one."""
    with tls(gw.port(), context, sni, session) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: {sni}\r\nConnection: close\r\n\r\n".encode())
        assert read_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 200")
        return connection.session


# ---- what the line says ----


def test_all_that_was_negotiated(gw, told, certs):
    with tls(gw.port(), tls_context(certs.ca.pem), "labelled.test") as connection:
        shown = connection.getpeercert(binary_form=True)
        line = told()
    digest = run("openssl", "dgst", "-sha256", "-r", stdin=shown).stdout.split()[0]
    for key, value in dict(level="info", listener="https", sni="labelled.test", host="labelled.test",
                           policy="default", version="TLSv1.3", cipher="TLS_AES_128_GCM_SHA256", group="X25519",
                           sigalg="ecdsa_secp256r1_sha256", alpn_offered="h2, http/1.1", alpn="h2", resumed=False,
                           hello_retry=False, certificate="k8s/web-tls", certificate_sha256=digest,
                           client_certificate="off", client_subject="", held_back=0).items():  # fmt: skip
        assert line[key] == value, key
    assert re.fullmatch(r"[0-9a-f]{16}", line["tls_id"])
    assert re.fullmatch(r"127\.0\.0\.1:\d+", line["client"])
    assert re.fullmatch(r"t13d\d{4}h2_[0-9a-f]{12}_[0-9a-f]{12}", line["ja4"])
    assert re.fullmatch(r"[0-9a-f]{32}", line["ja3"])
    assert 0 < line["cpu_ms"] <= line["duration_ms"] < 10_000


def test_tls12_of_curl_with_rsa_and_without_alpn(gw, told, certs):
    assert curl(gw.url(host="both.test"), "--tls-max", "1.2", "--ciphers", "ECDHE-RSA-AES256-GCM-SHA384", "--no-alpn",
                host="both.test", cacert=certs.ca.pem).status == 200  # fmt: skip
    line = told()
    assert (line["version"], line["cipher"], line["sigalg"]) == (
        "TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384", "rsa_pss_rsae_sha256")  # fmt: skip
    assert (line["alpn_offered"], line["alpn"], line["resumed"]) == ("", "", False)
    assert line["certificate"].endswith(".pem")  # the file's name, where there is no label


def test_a_hello_retry(gw, told):
    """The share that openssl sends is of its first group, which the policy does not have."""
    done = s_client(gw.port(), "-tls1_3", "-groups", "P-521:P-384", sni="labelled.test")
    assert "BEGIN CERTIFICATE" in done.stdout
    line = told()
    assert (line["hello_retry"], line["group"], line["alpn_offered"]) == (True, "P-384", "")


@pytest.mark.parametrize("version", [V12, V13])
def test_a_resumed_one_names_the_certificate_of_its_session(gw, certs, version):
    context = tls_context(certs.ca.pem, alpn=("http/1.1",), maximum=version)
    before = len(events(gw, "handshake_done"))
    session = visit(gw, context, "labelled.test")
    visit(gw, context, "labelled.test", session)
    lines = wait_until(lambda: len(found := events(gw, "handshake_done")[before:]) == 2 and found, "two lines")
    assert [line["resumed"] for line in lines] == [False, True]
    assert [line["sigalg"] for line in lines] == ["ecdsa_secp256r1_sha256", ""]
    assert [line["certificate"] for line in lines] == ["k8s/web-tls"] * 2
    assert lines[0]["certificate_sha256"] == lines[1]["certificate_sha256"]
    assert lines[0]["tls_id"] != lines[1]["tls_id"]
    if version == V12:
        assert lines[1]["group"] == ""  # no key exchange at all


@pytest.mark.parametrize("version", [V12, V13])
def test_a_session_outlives_its_certificate_and_still_names_it(gateway, certs, origin, tmp_path, version):
    """Of two, the one that was shown; after a renewal, and in the tickets of a resumed session too."""
    made = configuration(certs, origin, tmp_path)
    gw = gateway(made)
    context = tls_context(certs.ca.pem, alpn=("http/1.1",), maximum=version)
    session = visit(gw, context, "both.test")
    renewed = config.host("both.test", [certs.ca.leaf("both.test"), certs.ca.leaf("both.test", key="rsa")],
                          [{"upstream": "web"}])  # fmt: skip
    made["hosts"] = [renewed if host["names"] == ["both.test"] else host for host in made["hosts"]]
    assert gw.reload(made)
    session = visit(gw, context, "both.test", session)
    visit(gw, context, "both.test", session)
    visit(gw, context, "both.test")
    lines = wait_until(lambda: len(found := events(gw, "handshake_done")) == 4 and found, "four lines", process=gw)
    assert [line["resumed"] for line in lines] == [False, True, True, False]
    digests = [line["certificate_sha256"] for line in lines]
    assert digests[0] == digests[1] == digests[2] != digests[3]
    assert [line["certificate"] != "" for line in lines] == [True, False, False, True]


def test_the_clients_certificate(gw, certs):
    before = len(events(gw, "handshake_done"))
    for client in (None, certs.client, certs.other_ca.leaf("mallory", client=True)):
        visit(gw, tls_context(certs.ca.pem, alpn=("http/1.1",), client=client), "mtls.test")
    lines = wait_until(lambda: len(found := events(gw, "handshake_done")[before:]) == 3 and found, "three lines")
    assert [line["client_certificate"] for line in lines] == ["absent", "ok", "untrusted"]
    assert [line["client_subject"] for line in lines][:2] == ["", "CN=alice"]


# ---- joins ----


def test_requests_join_with_their_handshake_and_with_no_other(gw, certs):
    """Connections of both protocols at once, several requests each."""
    before = len(events(gw, "handshake_done"))
    with tls(gw.port(), tls_context(certs.ca.pem)) as two, \
         tls(gw.port(), tls_context(certs.ca.pem, alpn=("http/1.1",))) as one:  # fmt: skip
        h2 = H2Client(two)
        for n in range(3):
            assert h2.get(f"/bytes/1?h2-{n}").status == 200
            one.sendall(f"GET /bytes/0?h1-{n} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert read_until(one, b"\r\n\r\n").startswith(b"HTTP/1.1 200")
    assert curl(gw.url("/bytes/1?plain", listener="http")).status == 200
    handshakes = {line["alpn"]: line for line in events(gw, "handshake_done")[before:]}
    assert set(handshakes) == {"h2", "http/1.1"}
    lines = wait_until(
        lambda: len(found := [line for line in gw.access_log() if "?" in line["target"]]) == 7 and found, "7 lines"
    )
    for protocol, mark in (("h2", "?h2-"), ("http/1.1", "?h1-")):
        own = {line["tls_id"] for line in lines if mark in line["target"]}
        assert own == {handshakes[protocol]["tls_id"]}
    assert handshakes["h2"]["tls_id"] != handshakes["http/1.1"]["tls_id"]
    assert [line for line in lines if line["target"].endswith("plain") and "tls_id" in line] == []


def test_ids_are_not_used_again_after_a_restart(gateway, certs, origin, tmp_path):
    ids = set()
    for _ in range(2):
        gw = gateway(configuration(certs, origin, tmp_path, workers=2))
        for _ in range(20):
            s_client(gw.port())
        s_client(gw.port(), sni="elsewhere.test")
        lines = wait_until(lambda gw=gw: len(found := events(gw, "handshake_done")) == 20 and found, "20 lines")
        failed = wait_until(lambda gw=gw: events(gw, "handshake_failed"), "a failure", process=gw)
        ids |= {line["tls_id"] for line in lines + failed}
        gw.stop()
    assert len(ids) == 42


# ---- how many ----


def shake(gw, certs, count: int) -> None:
    for _ in range(count):
        tls(gw.port(), tls_context(certs.ca.pem)).close()


@pytest.mark.parametrize(("one_in", "expected"), [(0, 0), (1, 12), (5, 3)])
def test_one_in_so_many_is_exact(gateway, certs, origin, tmp_path, one_in, expected):
    """One worker counts for itself: the first, and every n-th behind it."""
    gw = gateway(configuration(certs, origin, tmp_path, tls={"samples": {"one_in": one_in}}))
    shake(gw, certs, 12)
    gw.wait_metric("sallyport_tls_handshakes_total", 12)
    assert len(events(gw, "handshake_done")) == expected


def test_what_is_too_much_in_a_second_is_held_back_and_counted(gateway, certs, origin, tmp_path):
    gw = gateway(configuration(certs, origin, tmp_path, tls={"samples": {"one_in": 1, "per_second": 2}}))
    made = 20
    shake(gw, certs, made)

    def told_of_all():
        nonlocal made
        shake(gw, certs, 1)
        made += 1
        gw.wait_metric("sallyport_tls_handshakes_total", made)
        lines = events(gw, "handshake_done")
        accounted = len(lines) + sum(line["held_back"] for line in lines)
        assert accounted <= made
        return lines if accounted == made and any(line["held_back"] for line in lines) else None

    lines = wait_until(told_of_all, "a line that tells what was held back", process=gw)
    assert len(lines) < made


def test_a_reload_turns_samples_on(gateway, certs, origin, tmp_path):
    made = configuration(certs, origin, tmp_path, tls={"samples": {"one_in": 0}})
    gw = gateway(made)
    shake(gw, certs, 1)
    made["tls"]["samples"]["one_in"] = 1
    assert gw.reload(made)
    shake(gw, certs, 1)
    wait_until(lambda: len(events(gw, "handshake_done")) == 1, "one line", process=gw)


def test_a_handshake_that_a_reload_overtakes_is_counted(gateway, certs, origin, tmp_path):
    """Its listener, its host and all of TLS are gone when it ends."""
    made = configuration(certs, origin, tmp_path)
    gw = gateway(made)
    handshake = Handshake(tls_context(certs.ca.pem, alpn=("http/1.1",)))
    with tcp(gw.port()) as connection:
        connection.sendall(handshake.hello)
        gw.wait_metric("sallyport_tls_handshakes_in_progress", 1)
        made["listeners"] = made["listeners"][1:]
        assert gw.reload(made)
        handshake.finish(connection)
        connection.recv(65536)
    wait_until(lambda: events(gw, "handshake_done"), "a line", process=gw)
    assert gw.metrics().value("sallyport_tls_handshakes_total", host="localhost") == 1
