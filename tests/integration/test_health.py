"""The health of a handshake is the same wherever it is told: the log line, the metric, /status and the header,
and it is what docs/health.md says of such handshakes. No upstream can speak for it."""

import json
import re
import ssl

import pytest
from harness import config
from harness.certs import Leaf
from harness.clients import curl, read_until, tls, tls_context
from harness.gateway import Gateway
from harness.h2client import H2Client
from harness.scripted import ScriptedOrigin

V12 = ssl.TLSVersion.TLSv1_2
FIELD = "X-TLS-Health-Score"
METRIC = "sallyport_tls_health_score"


def without_chain(leaf: Leaf) -> Leaf:
    end = b"-----END CERTIFICATE-----\n"
    alone = leaf.chain.with_suffix(".alone.pem")
    alone.write_bytes(leaf.chain.read_bytes().split(end)[0] + end)
    return Leaf(alone, leaf.key, leaf.certificate)


def configuration(certs, origin, folder, **changes) -> dict:
    """Certificates of 200 days, so that their end is far. The authorities' own last 30, which is near: they
    stand in no chain but that of chain.test."""
    ca = certs.ca
    routes = [
        {"match": {"path_prefix": "/mine"}, "reply": {"status": 200, "body": "mine", "headers": {FIELD: "7"}}},
        {"upstream": "web"},
    ]
    rsa = "ECDHE-RSA-AES128-GCM-SHA256"
    policies = {"old": {"max_version": "1.2", "ciphers": [rsa, "ECDHE-RSA-AES128-SHA", "AES128-SHA"]}}

    def host(name, leaf, policy="default"):
        return config.host(name, [leaf], routes, tls={"policy": policy})

    made = config.basic([], [origin.endpoint()], folder, log={"format": "json"},
                        tls={"policies": policies, "roots": str(ca.pem), "health": {"header": True},
                             "samples": {"one_in": 1, "per_second": 10000}})  # fmt: skip
    made["hosts"] = [
        host("good.test", ca.leaf("good.test", end=200)),
        host("soon.test", ca.leaf("soon.test", start=-100, end=15)),
        host("expired.test", ca.leaf("expired.test", end=-1)),
        host("alone.test", without_chain(ca.intermediate().leaf("alone.test", end=200))),
        host("old.test", ca.leaf("old.test", key="rsa", end=200), "old"),
    ]
    return config.merged(made, changes)


@pytest.fixture(scope="module")
def gw(binary, certs, origin, tmp_path_factory):
    folder = tmp_path_factory.mktemp("health")
    process = Gateway(binary, configuration(certs, origin, folder), folder).wait_ready()
    yield process
    process.stop()


def done(gw) -> list[dict]:
    whole = [line for line in gw.log_file.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [line for line in map(json.loads, whole) if line["event"] == "handshake_done"]


def visit(gw, name, *arguments, path="/bytes/1"):
    """curl does not mind an expired certificate here: what is asked is what we say of it."""
    response = curl(gw.url(path, host=name), "-k", *arguments, host=name)
    assert response.status == 200, response.error
    return response


def header(gw, certs, name, version=None, ciphers=None, session=None):
    """The header of a client that takes tickets, and its session. An expired certificate is no matter to it."""
    context = CONTEXTS.setdefault((version, ciphers), tls_context(certs.ca.pem, alpn=("http/1.1",), maximum=version,
                                                                  ciphers=ciphers))  # fmt: skip
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with tls(gw.port(), context, name, session) as connection:
        connection.sendall(f"GET /bytes/0 HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
        head = read_until(connection, b"\r\n\r\n").decode().lower()
        assert head.count(FIELD.lower()) == 1 and connection.session_reused == (session is not None)
        return re.search(r"x-tls-health-score: (\d+)\r\n", head).group(1), connection.session


CONTEXTS = {}  # a session is taken again only under the context that it is of

# The host, what the client has, and the score: docs/health.md has these rows.
ROWS = [
    ("good.test", {}, "100"),
    ("good.test", {"version": V12}, "90"),
    ("soon.test", {}, "92|93"),
    ("expired.test", {}, "65"),
    ("expired.test", {"version": V12}, "55"),
    ("alone.test", {}, "90"),
    ("old.test", {"ciphers": "ECDHE-RSA-AES128-GCM-SHA256"}, "90"),
    ("old.test", {"ciphers": "ECDHE-RSA-AES128-SHA"}, "75"),
    ("old.test", {"ciphers": "AES128-SHA"}, "60"),
]


@pytest.mark.parametrize(("name", "client", "expected"), ROWS)
def test_log_metric_and_header_agree(gw, certs, name, client, expected):
    before, count = len(done(gw)), gw.metrics().value(METRIC + "_count", host=name)
    total = gw.metrics().value(METRIC + "_sum", host=name)
    told, _ = header(gw, certs, name, **client)
    [line] = done(gw)[before:]
    score = line["health"]
    assert re.fullmatch(expected, told)
    assert told == str(score)
    gw.wait_metric(METRIC + "_count", count + 1, host=name)
    assert gw.metrics().value(METRIC + "_sum", host=name, listener="https") == total + score


def test_a_client_that_takes_no_tickets(gw):
    """curl under TLS 1.2."""
    assert visit(gw, "good.test", "--tls-max", "1.2").header(FIELD) == "85"


@pytest.mark.parametrize(("version", "full", "resumed"), [(V12, "90", "83"), (None, "100", "100")])
def test_a_resumed_session_is_judged_by_its_host(gw, certs, version, full, resumed):
    told, session = header(gw, certs, "good.test", version)
    assert told == full
    assert header(gw, certs, "good.test", version, session=session)[0] == resumed
    if version:  # its expired one counts, though it is not shown
        _, session = header(gw, certs, "expired.test", version)
        assert header(gw, certs, "expired.test", version, session=session)[0] == "48"


def test_every_response_has_it_once(gw, certs):
    """Replies of routes and of our own, errors, both protocols; what a route or an upstream says of it is gone."""
    with tls(gw.port(), tls_context(certs.ca.pem), "good.test") as connection:
        client = H2Client(connection)
        for path, status in (("/bytes/1", 200), ("/mine", 200), ("/reset", 502), ("/bytes/1", 200)):
            response = client.get(path, authority="good.test")
            assert (response.status, response.header(FIELD)) == (status, "100"), path
        assert client.get("/bytes/1", authority="elsewhere.test").header(FIELD) == "100"  # 421
    with tls(gw.port(), tls_context(certs.ca.pem, alpn=("http/1.1",)), "good.test") as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: good.test\r\nBad Field: x\r\n\r\n")
        head = read_until(connection, b"\r\n\r\n").lower()
        assert head.startswith(b"http/1.1 400") and head.count(b"x-tls-health-score: 100\r\n") == 1


def test_an_upstream_cannot_speak_for_it(gateway, certs, origin, tmp_path):
    """Also where there is no TLS to score."""
    forged = f"{FIELD}: 1\r\n"
    answer = (f"HTTP/1.1 103 Early Hints\r\n{forged}Link: </a>\r\n\r\nHTTP/1.1 200 OK\r\n{forged}{forged}"
              f"Trailer: {FIELD}, After\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n{forged}After: 2\r\n\r\n")  # fmt: skip
    forger = ScriptedOrigin(lambda *_: (answer.encode(), True))
    made = configuration(certs, origin, tmp_path)
    made["upstreams"]["web"]["endpoints"] = [forger.endpoint]
    gw = gateway(made)
    got = visit(gw, "good.test", "--http2")
    assert got.header(FIELD) == "100"
    assert [[name.lower() for name, _ in fields] for _, fields in got.interim] == [["link"]]
    assert [name.lower() for name, _ in got.trailers] == ["after"]
    plain = curl(gw.url("/", listener="http", host="good.test"), host="good.test")
    assert (plain.status, plain.header(FIELD)) == (200, None)
    made["tls"]["health"]["header"] = False
    assert gw.reload(made)
    assert visit(gw, "good.test").header(FIELD) == "1, 1"  # not ours: it passes like any other field
    forger.close()


def status(gw) -> dict:
    return json.loads(gw.admin("/status")[1])["tls_health"]


def test_status_tells_the_quantiles_of_the_minute(gateway, certs, origin, tmp_path):
    gw = gateway(configuration(certs, origin, tmp_path, workers=2))
    assert status(gw)["this_minute"] == {"handshakes": 0}
    for _ in range(19):
        visit(gw, "good.test")
    visit(gw, "expired.test")
    header(gw, certs, "good.test", V12)

    told = status(gw)
    # If a minute ended meanwhile, they stand in both.
    counted = told["this_minute"]["handshakes"] + told["last_minute"]["handshakes"]
    assert (counted, set(told["hosts"])) == (21, {"good.test", "expired.test"})
    if told["last_minute"]["handshakes"] == 0:
        assert told["this_minute"] == {"handshakes": 21, "p5": 90, "p50": 100, "p95": 100}
        assert told["hosts"]["good.test"]["this_minute"] == {"handshakes": 20, "p5": 90, "p50": 100, "p95": 100}
        assert told["hosts"]["expired.test"]["this_minute"] == {"handshakes": 1, "p5": 65, "p50": 65, "p95": 65}


def test_weights_are_the_operators(gateway, certs, origin, tmp_path):
    made = configuration(certs, origin, tmp_path)
    made["tls"]["health"]["weights"] = {"version": 50, "forward_secrecy": 0, "suite": 0, "validity": 50,
                                        "expiry": 0, "chain": 0, "resumption": 0}  # fmt: skip
    gw = gateway(made)
    assert visit(gw, "good.test").header(FIELD) == "100"
    assert header(gw, certs, "good.test", V12)[0] == "75"
    assert header(gw, certs, "expired.test", V12)[0] == "25"
    del made["tls"]["health"]["weights"]
    assert gw.reload(made)
    assert header(gw, certs, "expired.test", V12)[0] == "55"


def test_a_certificate_without_a_root_that_we_know_is_not_held_against_anybody(gateway, certs, origin, tmp_path):
    """A CA of one's own under the system's roots: 20 of the 90 that are left are half reached."""
    made = configuration(certs, origin, tmp_path)
    del made["tls"]["roots"]
    gw = gateway(made)
    assert visit(gw, "good.test").header(FIELD) == "100"
    assert header(gw, certs, "good.test", V12)[0] == "89"
