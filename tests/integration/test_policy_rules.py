"""A policy's rules on the ClientHello: who offers what a rule asks for gets another policy, or a refusal that
names the rule in the log and the metric. What was picked holds as if the host had it: nobody resumes across
policies, and no connection of a lax one passes for the strict one."""

import json
import socket
import ssl

import pytest
from harness import config
from harness.clients import curl, read_all, read_until, run, s_client, tcp, tls, tls_context
from harness.gateway import Gateway
from harness.h2client import H2Client
from harness.handshake import Handshake, alert
from harness.process import wait_until

RULES = "sallyport_tls_policy_rules_total"
FAILURES = "sallyport_tls_handshake_failures_total"
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
ACCESS_DENIED = 49
ELSEWHERE = "127.0.0.77"  # an address of this machine's too


def reply(text: str) -> list[dict]:
    return [{"reply": {"status": 200, "body": text}}]


def policies(certs, scanner: str) -> dict:
    require = {"mode": "require", "ca": str(certs.ca.pem)}
    return {
        "default": {
            "rules": [
                {"name": "scanner", "when": {"ja4": [scanner]}, "refuse": True},
                {"name": "api", "when": {"sni": ["api.*"]}, "policy": "h2"},
                {"name": "without-x25519", "when": {"groups": {"none": ["X25519"]}}, "policy": "compatible"},
            ]
        },
        "h2": {"alpn": ["h2"]},
        "compatible": {"max_version": "1.2"},
        # Whoever is not here must show a certificate.
        "strict": {
            "client_auth": require,
            "rules": [{"name": "inside", "when": {"addresses": ["127.0.0.1/32"]}, "policy": "lax"}],
        },
        "lax": {},
        # One of its names is closed.
        "mixed": {"rules": [{"name": "admin", "when": {"sni": ["admin.*"]}, "policy": "closed"}]},
        "closed": {"client_auth": require},
    }


def hosts(certs) -> list[dict]:
    leaf = certs.ca.leaf("a.test", "api.a.test", "strict.test", "mixed.test", "admin.mixed.test")
    return [
        config.host(["a.test", "api.a.test"], [leaf], reply("a")),
        config.host("strict.test", [leaf], reply("strict"), tls={"policy": "strict"}),
        config.host(["mixed.test", "admin.mixed.test"], [leaf], reply("mixed"), tls={"policy": "mixed"}),
    ]


def lines_of(gw, after: int = 0) -> list[dict]:
    whole = [line for line in gw.log()[after:].splitlines(keepends=True)
             if line.startswith("{") and line.endswith("\n")]  # warnings at load are plain text
    return [line for line in map(json.loads, whole) if line["event"] == "handshake_failed"]


def scan(port: int) -> None:
    """A client that no other one here is like."""
    run("gnutls-cli", "-p", port, "--insecure", "--sni-hostname", "a.test", "--priority",
        "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-CIPHER-ALL:+AES-256-GCM:-GROUP-ALL:+GROUP-X25519", "127.0.0.1")  # fmt: skip


def written(certs, origin, folder, scanner="t13d*_000000000000_*", **more) -> dict:
    return config.basic([certs.localhost], [origin.endpoint()], folder, hosts=hosts(certs),
                        tls={"policies": policies(certs, scanner)}, log={"format": "json"}, **more)  # fmt: skip


@pytest.fixture(scope="module")
def gw(binary, certs, origin, tmp_path_factory):
    """Runs under rules that refuse the scanner by the fingerprint that a log line told."""
    folder = tmp_path_factory.mktemp("rules")
    made = written(certs, origin, folder)
    without = json.loads(json.dumps(made))
    without["hosts"] = made["hosts"][1:]  # nobody is a.test: each handshake for it fails, and tells its JA4
    without["tls"]["policies"]["default"]["rules"] = []
    process = Gateway(binary, without, folder).wait_ready()
    scan(process.port())
    seen = wait_until(lambda: lines_of(process), "the scanner's line", process=process)[0]
    assert seen["reason"] == "unknown_sni" and seen["ja4"].startswith("t13d")
    made["tls"]["policies"] = policies(certs, seen["ja4"])
    assert process.reload(made), process.log()
    process.made = made
    yield process
    process.stop()


class Visit:
    def __init__(self, connection, name):
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
        head = read_until(connection, b"\r\n\r\n")
        assert head, "closed"
        self.status = int(head.split(b" ", 2)[1])
        self.head = head
        self.version, self.reused, self.session = connection.version(), connection.session_reused, connection.session


def connect(gw, context, name, session=None, source="127.0.0.1"):
    raw = socket.create_connection(("127.0.0.1", gw.port()), 20, source_address=(source, 0))
    return context.wrap_socket(raw, server_hostname=name, session=session)


def visit(gw, context, name="a.test", session=None, source="127.0.0.1") -> Visit:
    with connect(gw, context, name, session, source) as connection:
        return Visit(connection, name)


def http1(certs, **more):
    return tls_context(certs.ca.pem, alpn=("http/1.1",), **more)


def without_x25519(certs):
    context = http1(certs)
    context.set_ecdh_curve("prime256v1")
    return context


def counts(gw) -> dict:
    return {(labels["policy"], labels["rule"], labels["outcome"]): value
            for labels, value in gw.metrics().samples(RULES) if value}  # fmt: skip


def counted(gw, before: dict) -> dict:
    now = counts(gw)
    return {key: value - before.get(key, 0) for key, value in now.items() if value != before.get(key, 0)}


# ---- what a rule picks ------------------------------------------------------------------------


def test_a_client_without_x25519_gets_the_compatible_policy_and_nobody_else_does(gw, certs):
    before = counts(gw)
    assert visit(gw, http1(certs)).version == "TLSv1.3"
    assert counted(gw, before) == {}
    assert visit(gw, without_x25519(certs)).version == "TLSv1.2"
    done = s_client(gw.port(), "-groups", "P-256", "-CAfile", certs.ca.pem, sni="a.test", stdin=b"")
    assert "New, TLSv1.2" in done.stdout, done.stdout
    wait_until(lambda: counted(gw, before) == {("default", "without-x25519", "compatible"): 2}, "2 counted", process=gw)


def test_below_1_2_nobody_gets(gw):
    mark = len(gw.log())
    s_client(gw.port(), "-tls1_1", "-groups", "P-256", "-cipher", "ALL@SECLEVEL=0", sni="a.test", stdin=b"")
    told = wait_until(lambda: lines_of(gw, mark), "its line", process=gw)[0]
    assert (told["reason"], told["policy"], told["rule"]) == ("unsupported_version", "compatible", "without-x25519")
    assert "policy compatible (picked by rule without-x25519) of host a.test speaks TLSv1.2" in told["hint"]


def test_a_name_may_offer_only_h2(gw, certs):
    assert curl(gw.url(host="api.a.test"), "--http2", cacert=certs.ca.pem, host="api.a.test").version == "HTTP/2"
    assert visit(gw, http1(certs)).status == 200
    mark = len(gw.log())
    with pytest.raises((ssl.SSLError, ConnectionError)):
        visit(gw, http1(certs), "api.a.test")
    told = wait_until(lambda: lines_of(gw, mark), "its line", process=gw)[0]
    expected = {"reason": "no_alpn_overlap", "host": "a.test", "policy": "h2", "rule": "api", "alpn_configured": "h2"}
    assert {key: told[key] for key in expected} == expected


def test_a_scanner_is_refused_and_told_by_its_rule(gw, certs):
    before, mark = counts(gw), len(gw.log())
    failed = gw.metrics().value(FAILURES, reason="refused_by_rule")
    scan(gw.port())
    told = wait_until(lambda: lines_of(gw, mark), "its line", process=gw)[0]
    expected = {"reason": "refused_by_rule", "stage": "cert_select", "host": "a.test", "policy": "default",
                "rule": "scanner", "alert_sent": "access_denied"}  # fmt: skip
    assert {key: told[key] for key in expected} == expected
    assert told["hint"].startswith("rule scanner of policy default of host a.test refuses such clients")
    assert counted(gw, before) == {("default", "scanner", "refused"): 1}
    assert gw.metrics().value(FAILURES, reason="refused_by_rule", host="a.test") == failed + 1
    assert visit(gw, http1(certs)).status == 200


def test_a_refusal_is_one_alert(gw, certs):
    made = gw.made
    scanner = made["tls"]["policies"]["default"]["rules"][0]["when"]["ja4"][0]
    hello = Handshake(http1(certs), sni="a.test")
    with tcp(gw.port()) as connection:
        connection.sendall(hello.hello)
        assert alert(connection.recv(65536)) is None  # it is not refused: another fingerprint
    assert gw.reload(config.merged(made, {"tls": {"policies": {"default": {"rules": [
        {"name": "everybody", "when": {"ja4": [scanner, "t13*_*_*"]}, "refuse": True}]}}}}))  # fmt: skip
    try:
        with tcp(gw.port()) as connection:
            connection.sendall(hello.framed(50))
            answer = read_all(connection)
            assert alert(answer) == ACCESS_DENIED and len(answer) == 7
    finally:
        assert gw.reload(made)


def test_an_address_may_have_a_policy_of_its_own(gw, certs):
    assert visit(gw, http1(certs), "strict.test").status == 200
    with pytest.raises((ssl.SSLError, ConnectionError)):
        visit(gw, http1(certs), "strict.test", source=ELSEWHERE)
    assert visit(gw, http1(certs, client=certs.client), "strict.test", source=ELSEWHERE).status == 200


# ---- what was picked stays apart ----------------------------------------------------------------


@pytest.mark.parametrize("version", [V12, V13])
def test_a_ticket_of_a_picked_policy_is_none_for_the_host_s_own(gw, certs, version):
    """Else a ticket made inside would open the door outside."""
    context = http1(certs, maximum=version)
    first = visit(gw, context, "strict.test")
    assert visit(gw, context, "strict.test", first.session).reused, "it is good where it was made"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        visit(gw, context, "strict.test", first.session, source=ELSEWHERE)
    shows = http1(certs, maximum=version, client=certs.client)
    inside = visit(gw, shows, "strict.test")
    outside = visit(gw, shows, "strict.test", inside.session, source=ELSEWHERE)
    assert (outside.status, outside.reused) == (200, False)
    assert visit(gw, shows, "strict.test", outside.session, source=ELSEWHERE).reused
    assert not visit(gw, shows, "strict.test", outside.session).reused


def test_names_of_one_host_that_rules_tell_apart_do_not_share_connections(gw, certs):
    """One certificate holds both names, so a browser would use the connection of the open one for the closed."""
    for alpn in (("h2",), ("http/1.1",)):
        with tls(gw.port(), tls_context(certs.ca.pem, alpn=alpn), "mixed.test") as connection:
            if alpn == ("h2",):
                client = H2Client(connection)
                statuses = [client.get("/", authority=name).status for name in ("mixed.test", "admin.mixed.test")]
                assert client.get("/", authority="mixed.test").status == 200
            else:
                statuses = [Visit(connection, name).status for name in ("mixed.test", "admin.mixed.test")]
        assert statuses == [200, 421]
    shows = tls_context(certs.ca.pem, alpn=("h2",), client=certs.client)
    with tls(gw.port(), shows, "admin.mixed.test") as connection:
        client = H2Client(connection)
        assert client.get("/", authority="admin.mixed.test").status == 200
        assert client.get("/", authority="mixed.test").status == 421


def test_a_connection_under_a_picked_policy_lives_as_long_as_its_rule(gateway, origin, certs, tmp_path):
    made = written(certs, origin, tmp_path)
    gw = gateway(made)
    with connect(gw, tls_context(certs.ca.pem, alpn=("h2",)), "strict.test") as two, \
            connect(gw, http1(certs), "strict.test") as one, connect(gw, http1(certs), "a.test") as other, \
            connect(gw, http1(certs, client=certs.client), "strict.test", source=ELSEWHERE) as outside:  # fmt: skip
        client = H2Client(two)
        assert client.get("/", authority="strict.test").status == 200
        assert [Visit(c, "strict.test").status for c in (one, outside)] == [200, 200]
        assert Visit(other, "a.test").status == 200
        # Rules that have nothing to do with client certificates leave connections alone …
        made["tls"]["policies"]["default"]["rules"] = []
        made["tls"]["policies"]["lax"] = {"alpn": ["h2", "http/1.1"], "groups": ["P-256"]}
        assert gw.reload(made), gw.log()
        assert client.get("/", authority="strict.test").status == 200
        assert [Visit(c, "strict.test").status for c in (one, outside)] == [200, 200]
        # … those that let somebody in without one do not.
        made["tls"]["policies"]["strict"]["rules"] = []
        del made["tls"]["policies"]["lax"]
        assert gw.reload(made), gw.log()
        assert client.get("/", authority="strict.test").status == 421
        client.wait(lambda: client.goaways, "GOAWAY")
        refused = Visit(one, "strict.test")
        assert refused.status == 421 and b"connection: close" in refused.head.lower()
        assert Visit(outside, "strict.test").status == 200, "it showed a certificate"
        assert Visit(other, "a.test").status == 200
        with pytest.raises((ssl.SSLError, ConnectionError)):
            visit(gw, http1(certs), "strict.test")


def test_a_reload_changes_the_rules(gateway, origin, certs, tmp_path):
    made = written(certs, origin, tmp_path, workers=2)
    gw = gateway(made)
    assert visit(gw, without_x25519(certs)).version == "TLSv1.2"
    rules = made["tls"]["policies"]["default"]["rules"]
    rules[2]["when"] = {"groups": {"none": ["P-256"]}}
    assert gw.reload(made), gw.log()
    for _ in range(4):
        assert visit(gw, without_x25519(certs)).version == "TLSv1.3"
    # One that is wrong is refused, with its place, and the old ones hold.
    rules[2]["when"] = {"groups": {"none": ["P-265"]}}
    assert not gw.reload(made)
    assert 'did you mean \\"P-256\\"' in gw.log()
    assert visit(gw, without_x25519(certs)).version == "TLSv1.3"


# ---- check ------------------------------------------------------------------------------------


def test_check_tells_of_rules_that_can_never_match(binary, origin, certs, tmp_path):
    made = written(certs, origin, tmp_path)
    rules = made["tls"]["policies"]["default"]["rules"]
    rules += [
        {"name": "behind", "when": {"groups": {"none": ["X25519", "P-256"]}}, "refuse": True},
        {"name": "stranger", "when": {"sni": ["b.*"]}, "refuse": True},
    ]
    file = tmp_path / "check.yaml"
    file.write_text(json.dumps(made))
    done = run(binary, "check", "-c", file)
    assert done.returncode == 0
    text = done.stdout + done.stderr
    assert 'the rule "behind" is never reached: "without-x25519" before it takes all it would' in text
    assert 'no host of this policy can be asked for by the name "b.*"' in text
    rules.append({"name": "odd", "when": {"alpn": {"all": ["h2"], "none": ["h2"]}}, "refuse": True})
    file.write_text(json.dumps(made))
    done = run(binary, "check", "-c", file)
    assert done.returncode == 1 and "can never match: something stands under both" in done.stdout + done.stderr
