# labels: multiworker
"""Clients that ask are shown a responder's word that the certificate is not revoked: from a file or
fetched in the background, never an old one, a wrong one or one about something else, and no
handshake ever waits for it."""

import re
import time

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as x509_ocsp
from harness import config, ocsp
from harness.clients import run, s_client, tls, tls_context
from harness.process import wait_until

VERSIONS = ["-tls1_2", "-tls1_3"]
NEXT_UPDATE = "sallyport_tls_ocsp_staple_next_update_timestamp_seconds"
FETCHES = "sallyport_tls_ocsp_fetches_total"


def shown(gw, sni: str, version: str = "-tls1_3") -> str | None:
    """What a client that asks is told: "good", or None."""
    said = s_client(gw.port(), version, "-status", sni=sni).stdout
    assert "OCSP response: no response sent" in said or "OCSP Response Status: successful" in said, said
    found = re.search(r"Cert Status: (\w+)", said)
    return found and found.group(1)


@pytest.fixture
def responder():
    made = []

    def start(reply=lambda question: b"") -> ocsp.Responder:
        made.append(ocsp.Responder(reply))
        return made[-1]

    yield start
    for one in made:
        one.stop()


@pytest.fixture
def made(certs, origin, tmp_path):
    """made({name: (leaf, ocsp file or None)}, fetch=...) is a configuration with a host each."""

    def make(leafs: dict, issuer=None, **how) -> dict:
        result = config.basic([certs.localhost], [origin.endpoint()], tmp_path, workers=2)
        result["tls"] = {"roots": str((issuer or certs.ca).pem), "ocsp": {"retry": "1s", **how}}
        result["hosts"] = []
        for name, (leaf, file) in leafs.items():
            host = config.host(name, [leaf], [{"reply": {"status": 200, "body": name}}])
            if file is not None:
                host["tls"]["certificates"][0]["ocsp"] = str(file)
            result["hosts"].append(host)
        return result

    return make


def check(binary, made, tmp_path):
    file = tmp_path / "checked.yaml"
    file.write_text(yaml.safe_dump(made))
    done = run(binary, "check", "-c", file)
    return done.returncode, done.stdout + done.stderr


# ---- from files ----


def test_files(gateway, binary, certs, made, tmp_path):
    """A good one is shown, whoever signed it for the issuer. One that is of no use is told of and
    left out, for it must not keep the certificate from being served."""
    ca, leafs = certs.ca, {}

    def add(name, make, leaf=None):
        leaf = leaf or ca.leaf(name)
        file = tmp_path / f"{name}.der"
        file.write_bytes(make(leaf))
        leafs[name] = (leaf, file)

    between = ca.intermediate("Stapling intermediate")
    add("good.test", lambda leaf: ocsp.answer(leaf, ca))
    add("below.test", lambda leaf: ocsp.answer(leaf, between), between.leaf("below.test"))
    add("delegated.test", lambda leaf: ocsp.openssl_answer(leaf, ca, tmp_path))
    add("none.test", lambda leaf: b"")
    leafs["none.test"] = (leafs["none.test"][0], None)
    useless = {
        "old.test": (lambda leaf: ocsp.answer(leaf, ca, -7200, -60), "it was valid until"),
        "early.test": (lambda leaf: ocsp.answer(leaf, ca, 3600, 7200), "is this machine's clock right"),
        "another.test": (lambda leaf: ocsp.answer(ca.leaf("x.test"), ca), "about other certificates"),
        "forged.test": (lambda leaf: ocsp.answer(leaf, ca, signer=certs.other_ca), "signed it nor"),
        "revoked.test": (lambda leaf: ocsp.answer(leaf, ca, revoked=True), "was revoked at .*keyCompromise.*replace it"),
        "unknown.test": (lambda leaf: ocsp.answer(leaf, ca, status=x509_ocsp.OCSPCertStatus.UNKNOWN), "does not know"),
        "later.test": (lambda leaf: x509_ocsp.OCSPResponseBuilder.build_unsuccessful(
            x509_ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(Encoding.DER), "error trylater"),
    }  # fmt: skip
    for name, (make, _) in useless.items():
        add(name, make)

    configured = made(leafs)
    status, said = check(binary, configured, tmp_path)
    assert status == 0, said
    for name in ("good.test", "below.test", "delegated.test"):
        assert re.search(rf"OCSP answer of .*{name}\.der is good until 20", said), said
    for name, (_, reason) in useless.items():
        assert re.search(rf"warning: .*{name}\.der: .*{reason}.*not shown", said), (name, said)

    gw = gateway(configured)
    for version in VERSIONS:
        for name in leafs:
            expected = "good" if name in ("good.test", "below.test", "delegated.test") else None
            assert shown(gw, name, version) == expected, (name, version)
    told = {labels["host"] for labels, _ in gw.metrics().samples(NEXT_UPDATE)}
    assert told == {"good.test", "below.test", "delegated.test"}




def test_what_is_no_answer_at_all_refuses_the_load(gateway, binary, certs, made, tmp_path):
    file, leaf = tmp_path / "answer.der", certs.ca.leaf("a.test")
    good = ocsp.answer(leaf, certs.ca)
    broken = {
        b"": "is empty",
        b"-----BEGIN OCSP RESPONSE-----": "no OCSP response in DER",
        good[:-1]: "no OCSP response in DER",
        good + b"x": "no OCSP response in DER",
        ocsp.answer(leaf, certs.ca, ends=None): "until when",
        None: "No such file",
    }
    for content, reason in broken.items():
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
        status, said = check(binary, made({"a.test": (leaf, file)}), tmp_path)
        assert status == 1 and re.search(rf"checked\.yaml:\d+:\d+: error: .*answer\.der.*{reason}", said), said


def test_an_answer_that_ends_is_no_longer_shown(gateway, certs, made, tmp_path):
    leaf, file = certs.ca.leaf("a.test"), tmp_path / "answer.der"
    gw_config = made({"a.test": (leaf, file)})
    file.write_bytes(ocsp.answer(leaf, certs.ca, ends=6))
    gw = gateway(gw_config)
    assert shown(gw, "a.test") == "good"
    wait_until(lambda: shown(gw, "a.test") is None, "the answer's end", process=gw)
    with tls(gw.port(), tls_context(certs.ca.pem), "a.test"):
        pass
    file.write_bytes(ocsp.answer(leaf, certs.ca))
    assert gw.reload()
    assert shown(gw, "a.test") == "good"
    assert gw.reload(made({"a.test": (leaf, None)}))
    assert shown(gw, "a.test") is None


# ---- fetched ----


def test_fetched_shown_and_kept_over_reloads(gateway, binary, certs, made, responder, tmp_path):
    """The answer is openssl's own; a reload asks nobody and shows what there was, also when the
    configuration changed and the responder is gone."""
    asked = responder(lambda question: ocsp.openssl_answer(leaf, certs.ca, tmp_path, question))
    leaf = certs.ca.leaf("a.test", extensions=[ocsp.names_responder(asked.url)])
    plain = certs.ca.leaf("plain.test")  # names no responder, as most certificates today
    configured = made({"a.test": (leaf, None), "plain.test": (plain, None)}, fetch=True)
    status, said = check(binary, configured, tmp_path)
    assert status == 0 and f"will be fetched from {asked.url}" in said and "plain" not in said, said
    gw = gateway(configured)
    gw.wait_metric(NEXT_UPDATE, 1, host="a.test")
    for version in VERSIONS:
        assert shown(gw, "a.test", version) == "good"
        assert shown(gw, "plain.test", version) is None
    assert re.search(r'info ocsp_fetched .*host="a.test" .*good_until=', gw.log())
    request = x509_ocsp.load_der_ocsp_request(asked.questions[0])
    assert request.serial_number == leaf.serial and len(request.extensions) == 0  # no nonce: it may come from a cache

    asked.reply = lambda question: (503, {}, b"")
    until = gw.metrics().value(NEXT_UPDATE, host="a.test")
    assert gw.reload()
    configured["timeouts"]["idle"] = "30s"
    assert gw.reload(configured)
    assert shown(gw, "a.test") == "good"
    assert gw.metrics().value(NEXT_UPDATE, host="a.test") == until
    assert len(asked.questions) == 1 and gw.metrics().value(FETCHES) == 1

    off = made({"a.test": (leaf, None)}, fetch=False)
    assert gw.reload(off)
    assert shown(gw, "a.test") is None and gw.metrics().value(NEXT_UPDATE) == 0


def test_refreshed_at_half_of_its_life(gateway, certs, made, responder):
    asked = responder(lambda question: ocsp.answer(leaf, certs.ca, begins=0, ends=8))
    leaf = certs.ca.leaf("a.test", extensions=[ocsp.names_responder(asked.url)])
    gw = gateway(made({"a.test": (leaf, None)}, fetch=True))
    first = gw.wait_metric(NEXT_UPDATE, 1, host="a.test")
    gw.wait_metric(NEXT_UPDATE, first + 1, host="a.test")
    assert time.time() < first, "it was replaced only after its end"
    assert shown(gw, "a.test") == "good"
    assert gw.metrics().value(FETCHES, result="ok") == len(asked.questions) >= 2


def test_no_handshake_waits_for_a_responder_that_is_silent(gateway, certs, made, responder):
    """Nor does the start; what it says in the end is shown."""
    asked = responder(lambda question: None)
    leaf = certs.ca.leaf("a.test", extensions=[ocsp.names_responder(asked.url), ocsp.MUST_STAPLE])
    gw = gateway(made({"a.test": (leaf, None)}, fetch=True, timeout="2s"))
    wait_until(lambda: asked.questions, "the question", process=gw)
    context = tls_context(certs.ca.pem)
    begun = time.monotonic()
    for _ in range(20):
        with tls(gw.port(), context, "a.test"):
            pass
    assert time.monotonic() - begun < 1.5
    assert re.search(r'warn ocsp_missing host="a.test" .*must-staple', gw.log())
    gw.wait_metric(FETCHES, 1, result="timeout")
    asked.reply = lambda question: ocsp.answer(leaf, certs.ca)
    wait_until(lambda: shown(gw, "a.test") == "good", "the answer after all", process=gw)


def test_what_becomes_of_a_good_answer_when_the_next_one_is_bad(gateway, certs, made, responder, tmp_path):
    """It is told why, and what is known to be good is shown until it ends; but a certificate that
    was revoked is not called good any longer. An answer of a file bridges the time likewise."""
    bad = {
        "html.test": (lambda leaf: b"<html>no</html>", "invalid", "no OCSP response in DER form"),
        "forged.test": (lambda leaf: ocsp.answer(leaf, certs.ca, signer=certs.other_ca), "invalid", "signed it nor"),
        "another.test": (lambda leaf: ocsp.answer(certs.localhost, certs.ca), "invalid", "about other certificates"),
        "gone.test": (lambda leaf: (404, {}, b""), "refused", "HTTP status 404"),
        "moved.test": (lambda leaf: (301, {"Location": "/x"}, b""), "refused", "redirects are not followed"),
        "huge.test": (lambda leaf: b"x" * 70_000, "unreachable", "body limit exceeded"),
        "revoked.test": (lambda leaf: ocsp.answer(leaf, certs.ca, revoked=True), "revoked", "was revoked at .*replace it"),
    }  # fmt: skip
    leafs = {}

    def serve(name, then):
        def reply(question):
            first = len(asked.questions) == 0
            return ocsp.answer(leaf, certs.ca, begins=-38, ends=42) if first else then(leaf)

        asked = responder(reply)
        leaf = certs.ca.leaf(name, extensions=[ocsp.names_responder(asked.url)])
        leafs[name] = (leaf, None)

    for name, (then, _, _) in bad.items():
        serve(name, then)
    down = certs.ca.leaf("down.test", extensions=[ocsp.names_responder(ocsp.unused_url())])
    leafs["down.test"] = (down, tmp_path / "down.der")
    leafs["down.test"][1].write_bytes(ocsp.answer(down, certs.ca, begins=-38, ends=42))
    bad["down.test"] = (None, "unreachable", "Connection refused")

    gw = gateway(made(leafs, fetch=True))
    for name, (_, result, reason) in bad.items():
        until = '"20' if result != "revoked" else '""'
        gw.wait_log(rf'ocsp_failed host="{name}" .*result="{result}" reason=".*{reason}.*shown_until={until}')
    for name in bad:
        assert shown(gw, name) == (None if name == "revoked.test" else "good"), name
    metrics = gw.metrics()
    assert metrics.value(FETCHES, result="ok") == 7 and metrics.value(FETCHES, result="revoked") >= 1
    assert metrics.value(NEXT_UPDATE, host="html.test") > 0
    wait_until(lambda: gw.metrics().value(NEXT_UPDATE, host="revoked.test") == 0, "the answer out of the metric", process=gw)


# ---- must-staple ----


def test_must_staple_without_an_answer_is_told_at_load(binary, certs, made, tmp_path):
    leaf = certs.ca.leaf("a.test", extensions=[ocsp.MUST_STAPLE])
    named = certs.ca.leaf("a.test", extensions=[ocsp.MUST_STAPLE, ocsp.names_responder("http://127.0.0.1:9/")])
    file = tmp_path / "answer.der"
    file.write_bytes(ocsp.answer(leaf, certs.ca))
    for leafs, fetch, told in (
        ({"a.test": (leaf, None)}, False, True),
        ({"a.test": (leaf, None)}, True, True),  # it names no responder
        ({"a.test": (named, None)}, False, True),
        ({"a.test": (named, None)}, True, False),
        ({"a.test": (leaf, file)}, False, False),
    ):
        status, said = check(binary, made(leafs, fetch=fetch), tmp_path)
        assert status == 0 and ("warning" in said and "must-staple (RFC 7633)" in said) == told, said


def test_an_issuer_that_is_not_known_is_told(binary, certs, made, tmp_path):
    leaf = certs.ca.leaf("a.test", extensions=[ocsp.names_responder("http://127.0.0.1:9/")])
    status, said = check(binary, made({"a.test": (leaf, None)}, certs.other_ca, fetch=True), tmp_path)
    assert status == 0 and "no OCSP answer can be fetched, since who issued it is not known" in said, said
