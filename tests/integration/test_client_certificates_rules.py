"""What a client's certificate must be beyond its chain: on no revocation list, of one of the names, with
one of the keys that a policy asks for. Revoked ones are out with the next reload, also with a ticket of
before; mode `report` lets in whom `require` would refuse, and says the same of it."""

import json
import shutil
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from harness import config
from harness.clients import read_until, run, s_client, tls, tls_context
from harness.gateway import Gateway
from harness.process import wait_until

FAILURES = "sallyport_tls_handshake_failures_total"
COUNT = "sallyport_tls_client_cert_total"
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
SANS = ["*.agents.test", "spiffe://example.com/web/*", "ops@example.com", "IP:10.1.2.3"]


class People:
    """A root, an intermediate of it that is good and one that is revoked, and clients of each."""

    def __init__(self, certs):
        self.ca = ca = certs.ca
        self.below, self.gone = ca.intermediate("Clients below"), ca.intermediate("Clients gone")
        self.good = ca.leaf("a.agents.test", client=True, common_name="good")
        self.below_good = self.below.leaf("b.agents.test", client=True, common_name="below good")
        self.revoked = ca.leaf("a.agents.test", client=True, common_name="revoked")
        self.below_revoked = self.below.leaf(client=True, common_name="below revoked")
        self.of_gone = self.gone.leaf(client=True, common_name="of gone")
        self.root_list = ca.revocation_list(self.revoked, self.gone)
        self.lists = self.root_list + self.below.revocation_list(self.below_revoked) + self.gone.revocation_list()


@pytest.fixture(scope="module")
def people(certs):
    return People(certs)


def policies(people, folder) -> dict:
    def put(name: str, data: bytes) -> str:
        path = folder / name
        path.write_bytes(data)
        return str(path)

    def auth(mode="require", **more) -> dict:
        return {"client_auth": {"mode": mode, "ca": str(people.ca.pem), **more}}

    lists = put("all.crl", people.lists)
    der = x509.load_pem_x509_crl(people.root_list).public_bytes(serialization.Encoding.DER)
    stale = people.ca.revocation_list(people.revoked, start=-3, end=-1)
    return {
        "listed": auth(crls=[lists]),
        "der": auth(crls=[put("root.der", der)]),
        "stale": auth(crls=[put("stale.crl", stale)]),
        "named": auth(sans=SANS),
        "pinned": auth(spki_pins=[people.good.pin]),
        "report": auth("report", crls=[lists], sans=SANS),
        "request": auth("request", crls=[lists], spki_pins=[people.good.pin]),
    }


@pytest.fixture(scope="module")
def gw(binary, certs, people, origin, tmp_path_factory):
    """A host for each policy, by its name."""
    folder = tmp_path_factory.mktemp("rules")
    made = config.basic([certs.localhost], [origin.endpoint()], folder, log={"format": "json"})
    made["tls"] = {"policies": policies(people, folder)}
    made["hosts"] = [
        config.host(f"{name}.test", [certs.ca.leaf(f"{name}.test")], [{"upstream": "web"}], tls={"policy": name})
        for name in made["tls"]["policies"]
    ]
    process = Gateway(binary, made, folder).wait_ready()
    yield process
    process.stop()


class Client:
    def __init__(self, gw, certs, leaf, version=V13):
        self.gw = gw
        self.context = tls_context(certs.ca.pem, alpn=("http/1.1",), client=leaf, maximum=version)

    def visit(self, host: str, session=None):
        """(session, whether it was resumed); ssl.SSLError if it is refused, under TLS 1.3 with the first read."""
        with tls(self.gw.port(), self.context, f"{host}.test", session) as connection:
            connection.sendall(f"GET /bytes/0 HTTP/1.1\r\nHost: {host}.test\r\n\r\n".encode())
            assert read_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 200")
            return connection.session, connection.session_reused


def told(gw, mark: int, event: str) -> dict:
    """The one line of an event since `mark` bytes of log."""

    def lines():
        whole = [line for line in gw.log()[mark:].splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in map(json.loads, whole) if line["event"] == event]

    found = wait_until(lines, event, process=gw)
    assert len(found) == 1, found
    return found[0]


# policy, who comes, alert in TLS 1.3, reason, result, a piece of the hint
REFUSED = {
    "revoked": ("listed", "revoked", "certificate revoked", "client_cert_revoked", "revoked", "'CN=revoked'"),
    "revoked-der": ("der", "revoked", "certificate revoked", "client_cert_revoked", "revoked", "give the client a new"),
    "below-revoked": ("listed", "below_revoked", "certificate revoked", "client_cert_revoked", "revoked",
                      "issued by 'CN=Clients below'"),
    "intermediate": ("listed", "of_gone", "certificate revoked", "client_cert_revoked", "revoked",
                     "'CN=Clients gone', issued by 'CN=Test root'"),
    "no-list": ("der", "below_good", "unknown ca", "client_cert_untrusted", "untrusted",
                "no revocation list in client_auth.crls of policy der is of its issuer 'CN=Clients below': add it"),
    "stale": ("stale", "good", "certificate expired", "client_cert_untrusted", "untrusted", "is out of date, due on 20"),
    "name": ("named", "below_revoked", "bad certificate", "client_cert_pin", "pin_mismatch",
             "its names are none: add one of them"),
    "pin": ("pinned", "revoked", "bad certificate", "client_cert_pin", "pin_mismatch",
            "is none of client_auth.spki_pins of policy pinned; its pin is "),
}  # fmt: skip


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("case", REFUSED)
def test_who_will_not_do_is_refused_and_told_of(gw, certs, people, case, version):
    policy, who, alert, reason, result, hint = REFUSED[case]
    mark, host = len(gw.log()), f"{policy}.test"
    before = [gw.metrics().value(FAILURES, host=host, reason=reason), gw.metrics().value(COUNT, host=host)]
    with pytest.raises(ssl.SSLError) as failed:
        Client(gw, certs, getattr(people, who), version).visit(policy)
    assert alert in str(failed.value).replace("_", " ").lower()
    line = told(gw, mark, "handshake_failed")
    assert (line["reason"], line["stage"], line["host"]) == (reason, "client_cert", host)
    assert hint in line["hint"], line["hint"]
    if case == "pin":
        assert people.revoked.pin in line["hint"]  # to be copied
    metrics = gw.metrics()
    assert metrics.value(FAILURES, host=host, reason=reason) == before[0] + 1
    assert metrics.value(COUNT, host=host) == before[1] + 1 and metrics.value(COUNT, host=host, result=result) >= 1


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("policy", ["listed", "named", "pinned"])
def test_who_will_do_is_let_in_and_resumed(gw, certs, people, policy, version):
    for who in ("good", "below_good") if policy != "pinned" else ("good",):
        client = Client(gw, certs, getattr(people, who), version)
        session, reused = client.visit(policy)
        assert not reused
        assert client.visit(policy, session)[1]


NAMES = {
    "dns": (["x.agents.test"], True),
    "dns-second": (["elsewhere.test", "x.agents.test"], True),
    "dns-case": (["X.Agents.TEST"], True),
    "dns-two-labels": (["x.y.agents.test"], False),
    "dns-no-label": (["agents.test"], False),
    "dns-wildcard-of-its-own": (["*.agents.test"], False),
    "dns-longer": (["x.agents.test.evil"], False),
    "uri": (["spiffe://example.com/web/blue"], True),
    "uri-root-of-it": (["spiffe://example.com/web/"], False),
    "uri-sibling": (["spiffe://example.com/webmaster"], False),
    "uri-case": (["spiffe://example.com/WEB/blue"], False),
    "email": (["ops@EXAMPLE.com"], True),
    "email-case": (["OPS@example.com"], False),
    "address": (["10.1.2.3"], True),
    "address-other": (["10.1.2.4"], False),
}


@pytest.mark.parametrize("case", NAMES)
def test_one_of_its_names_must_be_asked_for(gw, certs, people, case):
    names, good = NAMES[case]
    client = Client(gw, certs, people.ca.leaf(*names, client=True, common_name="x.agents.test"))
    if good:
        client.visit("named")
        return
    before = gw.metrics().value(FAILURES, reason="client_cert_pin")
    with pytest.raises(ssl.SSLError):
        client.visit("named")
    gw.wait_metric(FAILURES, before + 1, reason="client_cert_pin")  # lines are held back after ten


def test_others_clients_are_told_the_same(gw, certs, people):
    """openssl and gnutls-cli, not only Python."""
    before = gw.metrics().value(FAILURES, reason="client_cert_revoked")
    for arguments in (["-tls1_2"], ["-tls1_3"]):
        shown = ("-cert", people.revoked.chain, "-key", people.revoked.key, "-CAfile", certs.ca.pem)
        done = s_client(gw.port(), *arguments, "-ign_eof", *shown, sni="listed.test", stdin=b"GET / HTTP/1.1\r\n\r\n")
        assert "certificate revoked" in done.stdout + done.stderr, done
    gw.wait_metric(FAILURES, before + 2, reason="client_cert_revoked")
    run("gnutls-cli", "-p", gw.port(), "--x509cafile", certs.ca.pem, "--sni-hostname", "listed.test", "--verify-hostname", "listed.test",
        "--x509certfile", people.revoked.chain, "--x509keyfile", people.revoked.key, "127.0.0.1")  # fmt: skip
    gw.wait_metric(FAILURES, before + 3, reason="client_cert_revoked")


REPORTED = {
    "missing": (None, "client_cert_missing", "absent", "host report.test would require a client certificate"),
    "revoked": ("revoked", "client_cert_revoked", "revoked", "'CN=revoked'"),
    "name": ("below_good_elsewhere", "client_cert_pin", "pin_mismatch", "its names are DNS:elsewhere.test"),
    "untrusted": ("stranger", "client_cert_untrusted", "untrusted", "'CN=stranger', issued by 'CN=Another root'"),
    "expired": ("old", "client_cert_expired", "expired", "certificate has expired"),
}


@pytest.fixture(scope="module")
def others(certs, people):
    people.below_good_elsewhere = people.below.leaf("elsewhere.test", client=True)
    people.stranger = certs.other_ca.leaf(client=True, common_name="stranger")
    people.old = certs.ca.leaf("x.agents.test", client=True, common_name="old", end=-1)
    return people


@pytest.mark.parametrize("case", REPORTED)
def test_mode_report_lets_in_whom_require_would_refuse_and_says_why(gw, certs, others, case):
    who, reason, result, hint = REPORTED[case]
    mark = len(gw.log())
    before = gw.metrics().value(COUNT, host="report.test", result=result)
    client = Client(gw, certs, getattr(others, who) if who else None)
    session, _ = client.visit("report")
    line = told(gw, mark, "client_certificate_report")
    assert (line["reason"], line["host"], line["policy"]) == (reason, "report.test", "report")
    assert hint in line["hint"] and line["client"].startswith("127.0.0.1:") and not line["resumed"]
    assert gw.metrics().value(COUNT, host="report.test", result=result) == before + 1
    # The same with its ticket: what was found is kept with it.
    mark = len(gw.log())
    assert client.visit("report", session)[1]
    line = told(gw, mark, "client_certificate_report")
    assert line["reason"] == reason and line["resumed"]
    assert gw.metrics().value(COUNT, host="report.test", result=result) == before + 2
    assert gw.metrics().value(FAILURES, host="report.test") == 0


def test_mode_report_has_nothing_to_say_of_who_will_do_and_request_never(gw, certs, people):
    mark = len(gw.log())
    Client(gw, certs, people.good).visit("report")
    for who, result in (("good", "ok"), ("revoked", "revoked"), ("below_good", "pin_mismatch")):
        before = gw.metrics().value(COUNT, host="request.test", result=result)
        Client(gw, certs, getattr(people, who)).visit("request")
        assert gw.metrics().value(COUNT, host="request.test", result=result) == before + 1
    assert "client_certificate_report" not in gw.log()[mark:]


@pytest.fixture
def changing(gateway, origin, certs, people, tmp_path):
    """A gateway whose list of revoked certificates can be changed: gw.revoke(…)."""
    file = tmp_path / "clients.crl"

    def revoke(*leafs):
        file.write_bytes(people.ca.revocation_list(*leafs))

    revoke()
    made = config.basic([certs.localhost], [origin.endpoint()], tmp_path, workers=2, log={"format": "json"})
    auth = {"mode": "require", "ca": str(certs.ca.pem), "crls": [str(file)]}
    made["tls"] = {"policies": {"default": {"client_auth": auth}}}
    made["hosts"] = [config.host("changing.test", [certs.ca.leaf("changing.test")], [{"upstream": "web"}])]
    started = gateway(made)
    started.revoke, started.list = revoke, file
    return started


@pytest.mark.parametrize("version", [V12, V13])
def test_who_is_revoked_is_out_with_the_reload_also_with_a_ticket(changing, certs, people, version):
    client = Client(changing, certs, people.good, version)
    session, _ = client.visit("changing")
    assert client.visit("changing", session)[1]
    assert changing.reload()
    assert client.visit("changing", session)[1], "a list of the same bytes voids no ticket"
    changing.revoke(people.good)
    assert changing.reload()
    for _ in range(8):  # every worker
        with pytest.raises(ssl.SSLError):
            client.visit("changing", session)
    assert changing.metrics().value(FAILURES, reason="client_cert_revoked") == 8
    changing.revoke()
    assert changing.reload()
    assert not client.visit("changing", session)[1]


def test_a_connection_of_before_is_ended_by_its_next_request(changing, certs, people):
    """Its rule is not the one that holds now: 421 and close, or closed already if it was idle."""
    context = tls_context(certs.ca.pem, alpn=("http/1.1",), client=people.good)
    ask = b"GET /bytes/0 HTTP/1.1\r\nHost: changing.test\r\n\r\n"
    with tls(changing.port(), context, "changing.test") as connection:
        connection.sendall(ask)
        assert read_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 200")
        changing.revoke(people.good)
        assert changing.reload()
        try:
            connection.sendall(ask)
            head = read_until(connection, b"\r\n\r\n")
        except OSError:
            return
        assert not head or (head.startswith(b"HTTP/1.1 421") and b"close" in head.lower()), head


def test_a_list_that_cannot_be_read_leaves_the_one_before_in_force(changing, certs, people):
    changing.revoke(people.revoked)
    assert changing.reload()
    changing.list.write_bytes(b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
    assert not changing.reload()
    assert f"{changing.list}: its revocation list number 1 is broken" in changing.log()
    Client(changing, certs, people.good).visit("changing")
    with pytest.raises(ssl.SSLError):
        Client(changing, certs, people.revoked).visit("changing")


def bad_lists(certs, people, folder) -> dict:
    def put(name: str, data: bytes):
        path = folder / name
        path.write_bytes(data)
        return path

    stranger = shutil.copy(certs.other_ca.pem, folder / "ca.pem")
    impostor = type(certs.ca)(folder, "Test root").revocation_list()
    return {
        "absent": (folder / "absent.crl", "cannot be read: No such file"),
        "certificate": (stranger, "holds no revocation list (a PEM block X509 CRL); it holds a certificate"),
        "text": (put("text.crl", b"hello"), "is no revocation list, neither in PEM form nor in DER"),
        "cut": (put("cut.crl", people.root_list[:-60]), "its revocation list number 1 is broken"),
        "impostor": (put("impostor.crl", impostor), "is not signed by the CA of that name in"),
    }


@pytest.mark.parametrize("case", ["absent", "certificate", "text", "cut", "impostor"])
def test_a_list_that_cannot_be_used_stops_the_start_and_is_named(gateway, origin, certs, people, tmp_path, case):
    file, words = bad_lists(certs, people, tmp_path)[case]
    made = config.basic([certs.localhost], [origin.endpoint()], tmp_path)
    auth = {"mode": "require", "ca": str(certs.ca.pem), "crls": [str(file)]}
    made["tls"] = {"policies": {"default": {"client_auth": auth}}}
    said = gateway(made, ready=False).expect_exit(1)
    assert str(file) in said and words in said, said


def check(binary, folder, auth) -> tuple[int, str]:
    made = {"version": 1, "listeners": [{"name": "https", "address": "127.0.0.1:0"}], "hosts": []}
    made["tls"] = {"policies": {"default": {"client_auth": auth}}}
    file = folder / "check.yaml"
    file.write_text(json.dumps(made))
    done = run(binary, "check", "-c", file)
    return done.returncode, done.stdout + done.stderr


def test_what_lists_do_not_cover_is_told_at_load(binary, certs, people, tmp_path):
    def put(name: str, data: bytes) -> str:
        path = tmp_path / name
        path.write_bytes(data)
        return str(path)

    ca = {"mode": "require", "ca": put("ca.pem", certs.ca.pem.read_bytes() + people.below.pem.read_bytes())}
    other = put("other.crl", certs.other_ca.revocation_list())
    stale = put("stale.crl", certs.ca.revocation_list(start=-3, end=-1))
    code, said = check(binary, tmp_path, {**ca, "crls": [other, stale]})
    assert code == 0, said
    assert f"{other}: the revocation list of 'CN=Another root' is of no CA in" in said
    assert f"{stale}: the revocation list of 'CN=Test root' was to be renewed by 20" in said
    assert "no revocation list is of 'CN=Clients below' in" in said and "whatever that CA issued is refused" in said
    assert said.count("warning") == 3, said
    code, said = check(binary, tmp_path, {**ca, "crls": [put("all.crl", people.lists)]})
    assert "of no CA in" in said and said.count("warning") == 1  # Clients gone, which clients send themselves


@pytest.mark.parametrize("key, value, words", [
    ("spki_pins", ["abc"], "is no pin, which is the base64 of 32 bytes: openssl x509"),
    ("spki_pins", ["47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV="], "is no pin"),  # bits where none are
    ("spki_pins", [], "spki_pins"),
    ("sans", ["*"], "is no name of a certificate"),
    ("sans", ["a.*.test"], "is no name of a certificate"),
    ("sans", ["10.0.0.0/8"], "is no name of a certificate"),
    ("sans", ["two words"], "is no name of a certificate"),
    ("forward", ["x-ssl"], "client_cert"),
])  # fmt: skip
def test_a_rule_with_a_slip_in_it_is_refused_with_its_place(binary, certs, tmp_path, key, value, words):
    code, said = check(binary, tmp_path, {"mode": "require", "ca": str(certs.ca.pem), key: value})
    assert code == 1 and words in said and "check.yaml:1:" in said, said


def test_lists_without_a_ca_are_refused(binary, tmp_path):
    code, said = check(binary, tmp_path, {"mode": "require", "crls": ["clients.crl"]})
    assert code == 1 and "give ca" in said, said
