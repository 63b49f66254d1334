"""The ClientHello in whatever shape it comes, how long it may take, and what is said of a
handshake that fails: the alert, one line in the log, one count under its reason."""

import socket
import ssl

import pytest
from harness import config
from harness.clients import Interactive, curl, read_all, run, s_client, tcp, tls, tls_context
from harness.handshake import Handshake, alert, records

FAILURES = "sallyport_tls_handshake_failures_total"
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture
def gw(gateway, origin, certs, tmp_path):
    return gateway(config.basic([certs.localhost], [origin.endpoint()], tmp_path))


def context_of(certs, **more):
    return tls_context(certs.ca.pem, **{"alpn": ("http/1.1",), **more})


def long_names(count: int) -> tuple[str, ...]:
    """ALPN names that make a ClientHello 256 bytes longer each; the last is one that is spoken."""
    return (*(f"{n:0255}" for n in range(count)), "http/1.1")


# ---- segmentation --------------------------------------------------------------------------


@pytest.mark.parametrize("version", [V12, V13])
def test_a_hello_that_comes_byte_by_byte_is_a_hello(gw, certs, version):
    """Post-quantum hellos span packets, and middleboxes cut where they like."""
    shaken = Handshake(context_of(certs, maximum=version))
    with tcp(gw.port()) as connection:
        for byte in shaken.hello:
            connection.sendall(bytes([byte]))
        shaken.finish(connection)
        assert shaken.tls.version() == version.name.replace("_", ".")
        assert shaken.get(connection).startswith(b"HTTP/1.1 200")
    gw.wait_metric("sallyport_tls_client_hello_segmented_total", 1)


def test_a_hello_in_two_segments_is_a_hello_wherever_it_is_cut(gw, certs):
    context = context_of(certs)
    for cut in (1, 2, 4, 5, 6, 8, 9, 10, 11, 43, 44, 76, 100, 200, -1):
        shaken = Handshake(context)
        with tcp(gw.port()) as connection:
            connection.sendall(shaken.hello[:cut])
            connection.sendall(shaken.hello[cut:])
            shaken.finish(connection)
            assert shaken.get(connection).startswith(b"HTTP/1.1 200"), cut


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("size", [1, 3, 50, 250])
def test_a_hello_split_over_tls_records_is_a_hello(gw, certs, size, version):
    """The first record may end before the SNI: who looks at it alone picks the wrong host."""
    shaken = Handshake(context_of(certs, maximum=version))
    with tcp(gw.port()) as connection:
        connection.sendall(shaken.framed(size))
        shaken.finish(connection)
        assert shaken.get(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("size", [None, 1000], ids=["one-record", "16-records"])
def test_a_hello_of_15_kib_is_a_hello(gw, certs, size):
    shaken = Handshake(context_of(certs, alpn=long_names(58)))
    assert 15_000 < len(shaken.message) <= 16 * 1024
    with tcp(gw.port()) as connection:
        hello = shaken.framed(size) if size else shaken.hello
        for at in range(0, len(hello), 1400):  # as Ethernet carries it
            connection.sendall(hello[at : at + 1400])
        shaken.finish(connection)
        assert shaken.tls.selected_alpn_protocol() == "http/1.1"
        assert shaken.get(connection).startswith(b"HTTP/1.1 200")


def test_a_hello_above_16_kib_is_refused_before_it_is_whole(gw, certs):
    """What is held for somebody who has not said anything yet is bounded."""
    shaken = Handshake(context_of(certs, alpn=long_names(66)))
    assert len(shaken.message) > 16 * 1024
    with tcp(gw.port()) as connection:
        connection.sendall(shaken.hello[:1000])  # its length stands at its front
        assert alert(read_all(connection)) == 47
    with tcp(gw.port()) as connection:
        connection.sendall(shaken.hello)
        assert alert(read_all(connection)) == 47
    gw.wait_metric(FAILURES, 2, stage="hello", reason="hello_too_large")
    assert curl(gw.url("/bytes/0"), cacert=certs.ca.pem).status == 200


def test_what_follows_a_hello_in_its_segment_is_not_lost(gw, certs):
    """TLS 1.3 with early bytes: the change_cipher_spec for middleboxes may come with the hello."""
    shaken = Handshake(context_of(certs))
    with tcp(gw.port()) as connection:
        connection.sendall(shaken.hello + b"\x14\x03\x03\x00\x01\x01")
        shaken.finish(connection)
        assert shaken.get(connection).startswith(b"HTTP/1.1 200")


# ---- time ----------------------------------------------------------------------------------


@pytest.fixture
def hasty(gateway, origin, certs, tmp_path):
    made = config.basic([certs.localhost], [origin.endpoint()], tmp_path, timeouts={"handshake": "600ms"})
    return gateway(made)


@pytest.mark.parametrize("count", [0, 1, 5, 100])
def test_a_hello_that_stops_is_not_waited_for(hasty, certs, count):
    shaken = Handshake(context_of(certs))
    with tcp(hasty.port()) as connection:
        connection.sendall(shaken.hello[:count])
        assert read_all(connection) == b""
    hasty.wait_metric(FAILURES, 1, stage="hello", reason="timeout")


def test_a_client_that_stops_after_our_flight_is_not_waited_for(hasty, certs):
    shaken = Handshake(context_of(certs))
    with tcp(hasty.port()) as connection:
        connection.sendall(shaken.hello)
        assert records(read_all(connection))[0][0] == 22  # our flight, then the end
    hasty.wait_metric(FAILURES, 1, stage="finished", reason="timeout")


def test_bytes_that_trickle_in_do_not_move_the_deadline(hasty, certs):
    """Slowloris of the handshake: a byte now and then must not hold a connection for ever."""
    shaken = Handshake(context_of(certs))
    with tcp(hasty.port(), timeout=0.05) as connection:
        for sent in range(400):  # 20 s in all
            try:
                connection.sendall(shaken.hello[sent % 100 : sent % 100 + 1] if sent < 100 else b"")
                assert connection.recv(1) == b""
                break
            except socket.timeout:
                continue
        assert 0 < sent < 100, "closed while the hello was still coming"
    hasty.wait_metric(FAILURES, 1, stage="hello", reason="timeout")


def test_a_finished_handshake_has_no_deadline_any_more(hasty, certs):
    with tls(hasty.port(), context_of(certs)) as connection:
        hasty.wait_metric("sallyport_tls_handshakes_total", 1)
        connection.settimeout(1.0)  # well past the deadline
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(20)
        connection.sendall(b"GET /bytes/0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


# ---- what a failure says -------------------------------------------------------------------


OPENSSL_FAILURES = {
    # reason: (stage, the alert's number and name, the name asked for, arguments)
    "unknown_sni": ("cert_select", 112, "unrecognized_name", "nobody.test", []),
    "missing_sni": ("cert_select", 112, "unrecognized_name", None, []),
    "no_alpn_overlap": ("key_exchange", 120, "no_application_protocol", "localhost", ["-alpn", "spdy/3,imap"]),
    "unsupported_version": ("key_exchange", 70, "protocol_version", "localhost",
                            ["-tls1_1", "-cipher", "ALL@SECLEVEL=0"]),
    "no_shared_cipher": ("key_exchange", 40, "handshake_failure", "localhost",
                         ["-tls1_2", "-cipher", "AES128-GCM-SHA256"]),
    "no_shared_group": ("key_exchange", 40, "handshake_failure", "localhost", ["-tls1_3", "-groups", "P-521"]),
    "no_shared_sigalg": ("key_exchange", 40, "handshake_failure", "localhost",
                         ["-tls1_3", "-sigalgs", "RSA-PSS+SHA256"]),
}  # fmt: skip


@pytest.mark.parametrize("reason", OPENSSL_FAILURES)
def test_openssl_is_told_why_and_so_is_the_operator(gw, reason):
    stage, code, name, sni, arguments = OPENSSL_FAILURES[reason]
    failed = s_client(gw.port(), *arguments, sni=sni, stdin=b"")
    assert f"SSL alert number {code}" in failed.stderr, failed.stderr
    gw.wait_metric(FAILURES, 1, stage=stage, reason=reason)
    assert gw.metrics().value(FAILURES) == 1
    gw.wait_log(f"handshake_failed.*{reason}")
    lines = [line for line in gw.log().splitlines() if "handshake_failed" in line]
    assert len(lines) == 1, lines
    for word in (f'stage="{stage}"', 'client="127.0.0.1:', 'listener="https"', f'sni="{sni or ""}"',
                 f'alert_sent="{name}"'):  # fmt: skip
        assert word in lines[0], lines[0]


def test_a_group_that_fails_in_tls12_is_told_as_a_group(gw):
    s_client(gw.port(), "-tls1_2", "-groups", "P-521")
    gw.wait_metric(FAILURES, 1, stage="key_exchange", reason="no_shared_group")


def test_a_client_that_does_not_trust_us_is_told_apart(gw, certs):
    """The alert of the peer, not an error of ours: it is the client's CA store that lacks something."""
    with pytest.raises(ssl.SSLCertVerificationError):
        tls(gw.port(), tls_context(certs.other_ca.pem))
    gw.wait_metric(FAILURES, 1, stage="finished", reason="peer_alert_unknown_ca")
    gw.wait_log("handshake_failed.*alert_received=\"?unknown_ca")


def test_an_expired_certificate_of_ours_is_told_by_the_client(gateway, origin, certs, tmp_path):
    made = config.basic([certs.ca.leaf("localhost", end=-1)], [origin.endpoint()], tmp_path)
    gw = gateway(made)
    assert "expired" in gw.log()  # a loud warning, and no reason not to start
    with pytest.raises(ssl.SSLCertVerificationError):
        tls(gw.port(), tls_context(certs.ca.pem))
    gw.wait_metric(FAILURES, 1, reason="peer_alert_certificate_expired")


def test_ends_in_the_middle_are_told_apart(gw, certs):
    hello = Handshake(context_of(certs)).hello
    with tcp(gw.port()):
        pass
    gw.wait_metric(FAILURES, 1, stage="hello", reason="peer_closed_idle")
    with tcp(gw.port()) as connection:
        connection.sendall(hello[:50])
    gw.wait_metric(FAILURES, 1, stage="hello", reason="peer_closed_hello")
    with tcp(gw.port()) as connection:
        connection.sendall(hello)
        connection.recv(1)
        connection.shutdown(socket.SHUT_WR)
        read_all(connection)
    gw.wait_metric(FAILURES, 1, stage="finished", reason="peer_closed")
    with tcp(gw.port()) as connection:
        connection.sendall(hello)
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    gw.wait_metric(FAILURES, 1, stage="finished", reason="peer_reset")
    assert gw.metrics().value("sallyport_tls_handshakes_in_progress") == 0


def test_a_health_probe_that_only_connects_is_counted_and_not_logged(gw, certs):
    """A balancer probes every second: a line each would bury what matters."""
    with tcp(gw.port()):
        pass
    gw.wait_metric(FAILURES, 1, reason="peer_closed_idle")
    assert "handshake_failed" not in gw.log()


def test_a_flood_of_failures_does_not_flood_the_log(gw):
    for _ in range(60):
        with tcp(gw.port()) as connection:
            connection.sendall(b"\x00nonsense")
            read_all(connection)
    gw.wait_metric(FAILURES, 60, reason="not_tls")
    assert 0 < gw.log().count("handshake_failed") <= 30


# ---- after the handshake -------------------------------------------------------------------


def test_renegotiation_of_tls12_is_refused(gw):
    """It costs the client little and us a handshake each time, and was a way to splice sessions (CVE-2009-3555)."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{gw.port()}", "-servername", "localhost", "-tls1_2"]
    refused = Interactive(*command)
    refused.until("Verify return code")
    refused.say("R\n")
    refused.until("RENEGOTIATING")
    output = refused.end()
    assert "no renegotiation" in output, output
    gw.wait_metric("sallyport_tls_handshakes_total", 1)
    assert gw.metrics().value("sallyport_tls_handshakes_total") == 1


def test_gnutls_is_refused_renegotiation_too(gw, certs):
    """By the alert that says so, as RFC 5246 §7.2.2 has it, so that a client may go on without."""
    done = run("gnutls-cli", "-p", gw.port(), "--x509cafile", certs.ca.pem, "--sni-hostname", "localhost",
               "--verify-hostname", "localhost", "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.2", "--rehandshake",
               "127.0.0.1")  # fmt: skip
    assert "Handshake was completed" in done.stdout, done.stdout + done.stderr
    assert "No renegotiation is allowed" in done.stdout, done.stdout
    assert "ReHandshake has failed" in done.stderr, done.stderr
    assert gw.metrics().value("sallyport_tls_handshakes_total") == 1
