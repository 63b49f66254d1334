"""Every reason that a handshake can fail for, made by a client that others wrote (or by raw bytes where
none would do it): the log line, the metric and the hint agree, so that an operator who sees the number
go up finds the cause and the remedy in one line."""

import json
import pathlib
import re
import signal
import socket
import ssl
import struct

import pytest
from harness import config
from harness.certs import Leaf
from harness.clients import curl, read_all, run, s_client, tcp, tls, tls_context
from harness.gateway import Gateway
from harness.handshake import Handshake
from harness.process import wait_until

FAILURES = "sallyport_tls_handshake_failures_total"
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
DOCS = pathlib.Path(__file__).parents[2] / "docs" / "handshakes.md"


def without_chain(leaf: Leaf) -> Leaf:
    """The certificate alone, as somebody leaves it who forgets the intermediate."""
    end = b"-----END CERTIFICATE-----\n"
    alone = leaf.chain.with_suffix(".alone.pem")
    alone.write_bytes(leaf.chain.read_bytes().split(end)[0] + end)
    return Leaf(alone, leaf.key, leaf.certificate)


def hosts(certs) -> list[dict]:
    ca = certs.ca
    routes = [{"upstream": "web"}]

    def host(name, *leafs, policy="default"):
        return config.host(name, leafs, routes, tls={"policy": policy})

    return [
        host("ecdsa.test", ca.leaf("ecdsa.test")),
        host("rsa.test", ca.leaf("rsa.test", key="rsa")),
        host("modern.test", ca.leaf("modern.test"), policy="modern"),
        host("h1.test", ca.leaf("h1.test"), policy="h1"),
        host("mtls.test", ca.leaf("mtls.test"), policy="mtls"),
        *(host(f"{name}.test", ca.leaf(f"{name}.test"), policy=name) for name in ("listed", "named", "pinned")),
        host("expired.test", ca.leaf("expired.test", end=-1)),
        host("chain.test", ca.intermediate().leaf("chain.test")),
        host("alone.test", without_chain(ca.intermediate("Forgotten").leaf("alone.test"))),
        host("purpose.test", ca.leaf("purpose.test", client=True)),
        host("wrong.test", ca.leaf("right.test")),
        host("chacha.test", ca.leaf("chacha.test"), policy="chacha"),
        host("ruled.test", ca.leaf("ruled.test"), policy="ruled"),
    ]


def revoked(certs) -> Leaf:
    """A client of the CA that `listed` has on its list."""
    if not hasattr(certs, "revoked"):
        certs.revoked = certs.ca.leaf("revoked.agents.test", client=True)
    return certs.revoked


def revocations(certs) -> pathlib.Path:
    file = certs.ca.folder / "verdicts.crl"
    file.write_bytes(certs.ca.revocation_list(revoked(certs)))
    return file


def policies(certs) -> dict:
    return {
        "default": {"groups": ["X25519", "P-256"]},
        "modern": {"min_version": "1.3", "cipher_suites": ["TLS_AES_256_GCM_SHA384"]},
        "h1": {"alpn": ["http/1.1"]},
        "ruled": {"rules": [{"name": "old", "when": {"versions": {"none": ["1.3"]}}, "refuse": True}]},
        "chacha": {"max_version": "1.2", "ciphers": ["ECDHE-ECDSA-CHACHA20-POLY1305"]},
        "mtls": {"client_auth": {"mode": "require", "ca": str(certs.ca.pem)}},
        "listed": {"client_auth": {"mode": "require", "ca": str(certs.ca.pem), "crls": [str(revocations(certs))]}},
        "named": {"client_auth": {"mode": "require", "ca": str(certs.ca.pem), "sans": ["*.agents.test"]}},
        "pinned": {"client_auth": {"mode": "require", "ca": str(certs.ca.pem), "spki_pins": [certs.client.pin]}},
    }


@pytest.fixture(scope="module")
def gw(binary, certs, origin, tmp_path_factory):
    folder = tmp_path_factory.mktemp("verdicts")
    https = {"name": "https", "address": "127.0.0.1:0"}
    hasty = {"name": "hasty", "address": "127.0.0.1:0", "timeouts": {"handshake": "300ms"}}
    made = config.basic([], [origin.endpoint()], folder, listeners=[https, hasty], hosts=hosts(certs),
                        tls={"policies": policies(certs)}, log={"format": "json", "level": "debug"})  # fmt: skip
    process = Gateway(binary, made, folder).wait_ready()
    yield process
    process.stop()


class Client:
    """What a case may do: programs and bytes towards the gateway."""

    def __init__(self, gw, certs):
        self.gw, self.certs, self.port = gw, certs, gw.port()

    def openssl(self, *arguments, sni="ecdsa.test"):
        s_client(self.port, "-CAfile", self.certs.ca.pem, *arguments, sni=sni, stdin=b"")

    def gnutls(self, priority="NORMAL", *arguments, sni="ecdsa.test"):
        run("gnutls-cli", "-p", self.port, "--x509cafile", self.certs.ca.pem, "--sni-hostname", sni,
            "--verify-hostname", sni, "--priority", priority, *arguments, "127.0.0.1")  # fmt: skip

    def curl(self, *arguments, sni="ecdsa.test", scheme="https", cacert=None):
        curl(f"{scheme}://{sni}:{self.port}/", *arguments, cacert=cacert or self.certs.ca.pem,
             host="" if sni == "127.0.0.1" else sni)  # fmt: skip

    def python(self, sni="ecdsa.test", cacert=None, **context):
        """A handshake of Python's, and a read: under TLS 1.3 a refusal of the client's certificate comes then."""
        try:
            with tls(self.port, tls_context(cacert or self.certs.ca.pem, **context), sni=sni) as connection:
                connection.recv(1)
        except OSError:
            pass

    def hello(self, sni="ecdsa.test", **context) -> Handshake:
        return Handshake(tls_context(self.certs.ca.pem, **context), sni=sni)

    def raw(self, *data: bytes, port=None):
        """Sends the parts, each after an answer to the one before; then waits for the other side's end."""
        with tcp(port or self.port) as connection:
            for index, part in enumerate(data):
                if index and not connection.recv(65536):
                    return
                connection.sendall(part)
            read_all(connection)

    def leaves(self, *data: bytes, reset=False):
        """The same, but ends the connection itself."""
        with tcp(self.port) as connection:
            for part in data:
                connection.sendall(part)
            if len(data) == 1 and len(data[0]) > 200:
                connection.recv(1)  # our flight
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                connection.shutdown(socket.SHUT_WR)
                read_all(connection)


def verifying(*arguments):
    return ("-verify_return_error", *arguments)


def alert_of(code: int) -> bytes:
    return bytes([21, 3, 3, 0, 2, 2, code])


def lying_sni(hello: bytes) -> bytes:
    """The name's length says more than its list."""
    at = hello.index(b"ecdsa.test")
    return hello[: at - 1] + bytes([hello[at - 1] + 1]) + hello[at:]


def long_names(count: int) -> tuple[str, ...]:
    return tuple(f"{n:0255}" for n in range(count))


# What Cloudflare offers an origin under TLS 1.2.
CLOUDFLARE = ":".join(
    ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA", "AES128-GCM-SHA256",
     "AES128-SHA", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-SHA384",
     "AES256-SHA"]
)  # fmt: skip

ONLY_RSA = "the client offers only ECDHE-RSA suites and host ecdsa.test has only an ECDSA certificate: add an RSA one"
GNUTLS12 = "NORMAL:-VERS-ALL:+VERS-TLS1.2"

# name: (reason, stage, host, what the client does, a piece of the hint, other fields)
CASES = {
    "cipher-openssl": ("no_shared_cipher", "key_exchange", "ecdsa.test",
        lambda c: c.openssl("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"), ONLY_RSA,
        {"ciphers_offered": "ECDHE-RSA-AES128-GCM-SHA256", "versions_shared": "TLSv1.2",
         "openssl": "no shared cipher", "alert_sent": "handshake_failure"}),
    "cipher-gnutls": ("no_shared_cipher", "key_exchange", "ecdsa.test",
        lambda c: c.gnutls(GNUTLS12 + ":-KX-ALL:+ECDHE-RSA"), ONLY_RSA, {}),
    "cipher-curl": ("no_shared_cipher", "key_exchange", "ecdsa.test",
        lambda c: c.curl("--tls-max", "1.2", "--ciphers", "AES128-GCM-SHA256"),
        "only suites without forward secrecy (AES128-GCM-SHA256)", {"ciphers_shared": "none"}),
    "cipher-python": ("no_shared_cipher", "key_exchange", "rsa.test",
        lambda c: c.python("rsa.test", maximum=V12, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"),
        "the client offers only ECDHE-ECDSA suites and host rsa.test has only an RSA certificate: add an ECDSA one",
        {}),
    "cipher-curve": ("no_shared_cipher", "key_exchange", "ecdsa.test",
        lambda c: c.openssl("-tls1_2", "-groups", "X25519"), "is on P-256", {"groups_shared": "X25519"}),
    "cipher-tls13": ("no_shared_cipher", "key_exchange", "modern.test",
        lambda c: c.openssl("-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256", sni="modern.test"),
        "no TLS 1.3 suite in common: the client offers TLS_AES_128_GCM_SHA256; policy modern",
        {"policy": "modern", "ciphers_configured": "TLS_AES_256_GCM_SHA384"}),
    "cipher-cloudflare": ("no_shared_cipher", "key_exchange", "chacha.test",
        lambda c: c.openssl("-cipher", CLOUDFLARE, sni="chacha.test"),
        "allows ECDHE-ECDSA-CHACHA20-POLY1305: add one of the client's to ciphers (the TLS 1.2 suites are those of "
        "Cloudflare", {"ciphers_shared": "none"}),
    "group-openssl": ("no_shared_group", "key_exchange", "ecdsa.test",
        lambda c: c.openssl("-tls1_3", "-groups", "P-521"),
        "the client offers the groups P-521; policy default of host ecdsa.test allows X25519, P-256",
        {"groups_offered": "P-521", "groups_configured": "X25519, P-256", "groups_shared": "none"}),
    "group-gnutls": ("no_shared_group", "key_exchange", "ecdsa.test",
        lambda c: c.gnutls("NORMAL:-GROUP-ALL:+GROUP-SECP521R1"), "the client offers the groups P-521", {}),
    "group-curl": ("no_shared_group", "key_exchange", "ecdsa.test",
        lambda c: c.curl("--curves", "P-384", "--tls-max", "1.2"), "the client offers the groups P-384", {}),
    "sigalg-openssl": ("no_shared_sigalg", "key_exchange", "ecdsa.test",
        lambda c: c.openssl("-tls1_3", "-sigalgs", "RSA-PSS+SHA256"),
        "has only an ECDSA certificate, which signs by ecdsa_secp256r1_sha256: add an RSA one",
        {"sigalgs_offered": "rsa_pss_rsae_sha256", "sigalgs_shared": "none"}),
    "sigalg-tls12": ("no_shared_sigalg", "key_exchange", "rsa.test",
        lambda c: c.gnutls(GNUTLS12 + ":-SIGN-ALL:+SIGN-ECDSA-SECP256R1-SHA256:+SIGN-ECDSA-SHA256", sni="rsa.test"),
        "has only an RSA certificate", {}),
    "sigalg-gnutls": ("no_shared_sigalg", "key_exchange", "rsa.test",
        lambda c: c.gnutls("NORMAL:-VERS-ALL:+VERS-TLS1.3:-SIGN-ALL:+SIGN-ECDSA-SECP256R1-SHA256", sni="rsa.test"),
        "add an ECDSA one", {}),
    "version-openssl": ("unsupported_version", "key_exchange", "ecdsa.test",
        lambda c: c.openssl("-tls1_1", "-cipher", "ALL@SECLEVEL=0"),
        "the client offers TLSv1.1; policy default of host ecdsa.test speaks TLSv1.3, TLSv1.2: update the client",
        {"alert_sent": "protocol_version"}),
    "version-gnutls": ("unsupported_version", "key_exchange", "ecdsa.test",
        lambda c: c.gnutls("NORMAL:-VERS-ALL:+VERS-TLS1.1:%COMPAT"), "update the client", {}),
    "version-curl": ("unsupported_version", "key_exchange", "modern.test",
        lambda c: c.curl("--tls-max", "1.2", sni="modern.test"), "set min_version to \"1.2\"",
        {"versions_offered": "TLSv1.2", "versions_configured": "TLSv1.3"}),
    "version-python": ("unsupported_version", "key_exchange", "modern.test",
        lambda c: c.python("modern.test", maximum=V12), "policy modern of host modern.test speaks TLSv1.3", {}),
    "version-fallback": ("unsupported_version", "key_exchange", "ecdsa.test",
        lambda c: c.openssl("-tls1_2", "-fallback_scsv"), "the client fell back to a lower version",
        {"alert_sent": "inappropriate_fallback"}),
    "alpn-openssl": ("no_alpn_overlap", "key_exchange", "h1.test",
        lambda c: c.openssl("-alpn", "h2", sni="h1.test"),
        "the client speaks h2; policy h1 of host h1.test speaks http/1.1: add h2 to alpn",
        {"alpn_offered": "h2", "alpn_configured": "http/1.1", "alpn_shared": "none",
         "alert_sent": "no_application_protocol"}),
    "alpn-gnutls": ("no_alpn_overlap", "key_exchange", "ecdsa.test",
        lambda c: c.gnutls("NORMAL", "--alpn", "imap"), "the client means another service", {"alpn_offered": "imap"}),
    "alpn-python": ("no_alpn_overlap", "key_exchange", "ecdsa.test",
        lambda c: c.python(alpn=("acme-tls/1",)), "TLS-ALPN-01", {}),
    "unknown-curl": ("unknown_sni", "cert_select", "",
        lambda c: c.curl(sni="nobody.test"), "no host on this listener is named 'nobody.test'",
        {"sni": "nobody.test", "alert_sent": "unrecognized_name", "ciphers_configured": ""}),
    "unknown-gnutls": ("unknown_sni", "cert_select", "",
        lambda c: c.gnutls(sni="nobody.test"), "tls.unknown_sni", {}),
    "unknown-address": ("unknown_sni", "cert_select", "",
        lambda c: c.openssl(sni="127.0.0.1"), "the client asks for '127.0.0.1', which is no host name", {"sni": ""}),
    "missing-openssl": ("missing_sni", "cert_select", "",
        lambda c: c.openssl(sni=None), "tls.missing_sni", {"sni": ""}),
    "missing-curl": ("missing_sni", "cert_select", "",
        lambda c: c.curl(sni="127.0.0.1"), "tls.missing_sni", {}),
    "rule-python": ("refused_by_rule", "cert_select", "ruled.test",
        lambda c: c.python("ruled.test", maximum=V12), "rule old of policy ruled of host ruled.test refuses such clients",
        {"rule": "old", "policy": "ruled", "alert_sent": "access_denied"}),
    "http-curl": ("not_tls", "hello", "",
        lambda c: c.curl(scheme="http"), "the client spoke plain HTTP on a TLS port", {"ja4": ""}),
    "proxy-v1": ("not_tls", "hello", "",
        lambda c: c.raw(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n"), "proxy_protocol.from", {}),
    "proxy-v2": ("not_tls", "hello", "",
        lambda c: c.raw(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12)), "proxy_protocol.from", {}),
    "not-tls-raw": ("not_tls", "hello", "", lambda c: c.raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "no TLS record", {}),
    "record-hello": ("bad_record", "hello", "", lambda c: c.raw(b"\x16\x02\0\0\x05hello"), "middlebox", {}),
    "record-later": ("bad_record", "finished", "ecdsa.test",
        lambda c: c.raw(c.hello(maximum=V12).hello, b"\x17\x03\x03\0\x10" + bytes(16)), "a TLS record is broken", {}),
    "malformed": ("malformed_hello", "hello", "",
        lambda c: c.raw(lying_sni(c.hello().hello)), "breaks the rules", {"alert_sent": "decode_error"}),
    "too-large": ("hello_too_large", "hello", "",
        lambda c: c.raw(c.hello(alpn=long_names(66)).hello[:1000]), "larger than 16 KiB", {}),
    "unknown-ca-python": ("peer_alert_unknown_ca", "finished", "chain.test",
        lambda c: c.python("chain.test", cacert=c.certs.other_ca.pem),
        "the chain has 1 certificate above it, so the client lacks the root", {"alert_received": "unknown_ca"}),
    "unknown-ca-openssl": ("peer_alert_unknown_ca", "finished", "alone.test",
        lambda c: c.openssl(*verifying(), sni="alone.test"),
        "the chain has no intermediate; unless 'CN=Forgotten' is a root", {}),
    "unknown-ca-curl": ("peer_alert_unknown_ca", "finished", "ecdsa.test",
        lambda c: c.curl("--tls-max", "1.2", cacert=c.certs.other_ca.pem), "does not know the CA", {}),
    "bad-certificate-openssl": ("peer_alert_bad_certificate", "finished", "ecdsa.test",
        lambda c: c.openssl(*verifying("-verify_hostname", "other.test")), "the client refused the certificate", {}),
    "bad-certificate-python": ("peer_alert_bad_certificate", "finished", "wrong.test",
        lambda c: c.python("wrong.test"), "is for right.test and not for 'wrong.test'", {}),
    "expired-curl": ("peer_alert_certificate_expired", "finished", "expired.test",
        lambda c: c.curl(sni="expired.test"), "expired on 20", {"alert_received": "certificate_expired"}),
    "expired-python": ("peer_alert_certificate_expired", "finished", "expired.test",
        lambda c: c.python("expired.test", maximum=V12), "renew it and send SIGHUP", {}),
    "certificate-unknown-openssl": ("peer_alert_certificate_unknown", "finished", "ecdsa.test",
        lambda c: c.openssl(*verifying("-policy_check", "-explicit_policy")), "check the chain, the names", {}),
    "handshake-failure-raw": ("peer_alert_handshake_failure", "finished", "ecdsa.test",
        lambda c: c.raw(c.hello(maximum=V12).hello, alert_of(40)), "nothing acceptable",
        {"alert_received": "handshake_failure"}),
    "alert-first-openssl": ("peer_alert_other", "hello", "",
        lambda c: c.openssl("-tls1_2", "-sigalgs", "ECDSA+SHA256", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"),
        "instead of a ClientHello", {"alert_sent": ""}),
    "other-openssl": ("peer_alert_other", "finished", "purpose.test",
        lambda c: c.openssl(*verifying(), sni="purpose.test"), "the alert unsupported_certificate", {}),
    "client-missing-curl": ("client_cert_missing", "client_cert", "mtls.test",
        lambda c: c.curl(sni="mtls.test"), "requires a client certificate of a CA in",
        {"alert_sent": "certificate_required"}),
    "client-missing-gnutls": ("client_cert_missing", "client_cert", "mtls.test",
        lambda c: c.gnutls(GNUTLS12, sni="mtls.test"), "set client_auth.mode of policy mtls to request or off", {}),
    "client-untrusted-python": ("client_cert_untrusted", "client_cert", "mtls.test",
        lambda c: c.python("mtls.test", client=c.certs.other_ca.leaf(common_name="mallory", client=True)),
        "'CN=mallory', issued by 'CN=Another root'", {}),
    "client-expired-openssl": ("client_cert_expired", "client_cert", "mtls.test",
        lambda c: (lambda leaf: c.openssl("-cert", leaf.chain, "-key", leaf.key, "-tls1_2", sni="mtls.test"))(
            c.certs.ca.leaf(common_name="late", client=True, end=-1)),
        "'CN=late', issued by 'CN=Test root', was not taken (certificate has expired)", {}),
    "client-revoked-openssl": ("client_cert_revoked", "client_cert", "listed.test",
        lambda c: c.openssl("-cert", revoked(c.certs).chain, "-key", revoked(c.certs).key, "-tls1_2", sni="listed.test"),
        "'CN=revoked.agents.test', issued by 'CN=Test root', was not taken (certificate revoked)",
        {"alert_sent": "certificate_revoked"}),
    "client-revoked-python": ("client_cert_revoked", "client_cert", "listed.test",
        lambda c: c.python("listed.test", client=revoked(c.certs)), "give the client a new one", {}),
    "client-name-gnutls": ("client_cert_pin", "client_cert", "named.test",
        lambda c: c.gnutls("NORMAL", "--x509certfile", c.certs.client.chain, "--x509keyfile", c.certs.client.key,
                           sni="named.test"), "in client_auth.sans of policy named, *.agents.test; its names are DNS:alice",
        {"alert_sent": "bad_certificate"}),
    "client-pin-curl": ("client_cert_pin", "client_cert", "pinned.test",
        lambda c: c.curl("--cert", revoked(c.certs).chain, "--key", revoked(c.certs).key, sni="pinned.test"),
        "has a key that is none of client_auth.spki_pins of policy pinned; its pin is ", {}),
    "timeout-silent": ("timeout", "hello", "",
        lambda c: c.raw(b"", port=c.gw.port("hasty")), "not one byte came within 3", {"listener": "hasty"}),
    "timeout-hello": ("timeout", "hello", "",
        lambda c: c.raw(c.hello().hello[:100], port=c.gw.port("hasty")), "the ClientHello was not whole", {}),
    "timeout-finished": ("timeout", "finished", "ecdsa.test",
        lambda c: c.raw(c.hello().hello, port=c.gw.port("hasty")), "did not answer our certificate", {}),
    "probe": ("peer_closed_idle", "hello", "", lambda c: c.leaves(), "a health check", {"level": "debug"}),
    "probe-reset": ("peer_closed_idle", "hello", "", lambda c: c.leaves(reset=True), "a health check",
        {"level": "debug"}),
    "closed-hello": ("peer_closed_hello", "hello", "", lambda c: c.leaves(b"\x16\x03\x01"), "cuts large hellos", {}),
    "closed": ("peer_closed", "finished", "ecdsa.test",
        lambda c: c.leaves(c.hello().hello), "closed after it saw the certificate 'CN=ecdsa.test'", {}),
    "reset": ("peer_reset", "finished", "ecdsa.test",
        lambda c: c.leaves(c.hello().hello, reset=True), "reset the connection after it saw", {}),
}  # fmt: skip


def failures(gw) -> dict:
    return {
        (labels["listener"], labels["host"], labels["stage"], labels["reason"]): value
        for labels, value in gw.metrics().samples(FAILURES)
        if value
    }


def lines_of(gw, after: int) -> list[dict]:
    whole = [line for line in gw.log()[after:].splitlines(keepends=True) if line.endswith("\n")]
    return [line for line in map(json.loads, whole) if line["event"] == "handshake_failed"]


@pytest.mark.parametrize("case", CASES)
def test_a_failure_is_told_the_same_by_log_metric_and_hint(gw, certs, case):
    reason, stage, host, act, hint, fields = CASES[case]
    before, mark = failures(gw), len(gw.log())
    act(Client(gw, certs))
    lines = wait_until(lambda: lines_of(gw, mark), f"a line for {case}", process=gw)
    assert len(lines) == 1, lines
    told = lines[0]
    expected = {"reason": reason, "stage": stage, "host": host, "level": "warn", "listener": "https", **fields}
    if "timeout" in case:
        expected["listener"] = "hasty"
    assert {name: told[name] for name in expected} == expected, told
    assert hint in told["hint"], told["hint"]
    assert told["client"].startswith("127.0.0.1:") and told["held_back"] == 0
    read = stage != "hello"
    assert bool(re.fullmatch(r"t1[0-3][di]\d{4}.._[0-9a-f]{12}_[0-9a-f]{12}", told["ja4"])) == read
    assert bool(re.fullmatch(r"[0-9a-f]{32}", told["ja3"])) == read
    counted = {key: value - before.get(key, 0) for key, value in failures(gw).items()}
    counted = {key: value for key, value in counted.items() if value}
    assert counted == {(told["listener"], host or "_unmatched", stage, reason): 1}


def test_a_draining_gateway_says_that_it_was_itself(gateway, origin, certs, tmp_path):
    made = config.basic([certs.localhost], [origin.endpoint()], tmp_path, timeouts={"drain": "300ms"},
                        log={"format": "json"})  # fmt: skip
    gw = gateway(made)
    with tcp(gw.port()) as connection:
        connection.sendall(b"\x16\x03\x01")
        gw.wait_metric("sallyport_tls_handshakes_in_progress", 1)
        gw.signal(signal.SIGTERM)
        told = wait_until(lambda: lines_of(gw, 0), "its line")
        assert told[0]["reason"] == "shutdown" and "draining" in told[0]["hint"]


def test_what_is_held_back_is_counted(gw):
    """A scanner that fails a thousand times is one number, not a thousand lines."""
    mark = len(gw.log())
    before = gw.metrics().value(FAILURES, reason="not_tls")
    for _ in range(40):
        with tcp(gw.port()) as connection:
            connection.sendall(b"\x80nonsense")
            read_all(connection)
    gw.wait_metric(FAILURES, before + 40, reason="not_tls")

    def next_line_tells():
        with tcp(gw.port()) as connection:
            connection.sendall(b"\x80nonsense")
            read_all(connection)
        return [line["held_back"] for line in lines_of(gw, mark) if line["held_back"]]

    assert wait_until(next_line_tells, "a count of what was held back", process=gw)[0] >= 20


# No client can make this: OpenSSL or memory would have to fail.
BEYOND = {"internal"}


def test_every_reason_of_the_docs_is_made_here():
    """A reason that nobody can show is one that nobody has seen work."""
    documented = set(re.findall(r"^\| `(\w+)` \| ", DOCS.read_text().split("## Reasons")[1], re.MULTILINE))
    shown = {case[0] for case in CASES.values()} | {"shutdown"}
    assert documented == shown | BEYOND and not shown & BEYOND
