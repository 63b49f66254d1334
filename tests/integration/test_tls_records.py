"""TLS 1.3 records behind the handshake, which are the gateway's own: with the clients that people use, each cipher
suite, changes of keys asked for by either library, and what a client may not do."""

import socket
import ssl

import pytest
from harness import config
from harness.clients import Interactive, read_until, run, tls, tls_context

SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
REQUEST = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = "the last of it"
BODY = "0123456789abcdef" * 4000 + LAST  # four records


@pytest.fixture(scope="module")
def gw(shared_gateway, certs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    settings = config.basic([certs.localhost], ["127.0.0.1:9"], folder)
    settings["hosts"][0]["routes"] = [{"reply": {"status": 200, "body": BODY}}]
    del settings["upstreams"]
    return shared_gateway(settings)


def openssl(gw, *arguments) -> Interactive:
    return Interactive("openssl", "s_client", "-connect", f"127.0.0.1:{gw.port()}", "-servername", "localhost",
                       "-tls1_3", "-crlf", *arguments)  # fmt: skip


@pytest.mark.parametrize("suite", SUITES)
def test_each_suite_with_openssl(gw, suite):
    client = openssl(gw, "-ciphersuites", suite)
    client.until("Verify return code")
    client.say("GET / HTTP/1.1\nHost: localhost\nConnection: close\n\n")
    assert BODY in client.until("closed").replace("read R BLOCK\n", "")
    assert f"Cipher is {suite}" in client.output


@pytest.mark.parametrize("cipher", ("AES-128-GCM", "AES-256-GCM", "CHACHA20-POLY1305"))
def test_each_suite_with_gnutls(gw, certs, cipher):
    """Another library's records, and a change of keys that it asks for amid a connection."""
    priority = f"NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+{cipher}"
    client = Interactive("gnutls-cli", "-p", gw.port(), "--x509cafile", certs.ca.pem, "--sni-hostname", "localhost",
                         "--verify-hostname", "localhost", "--priority", priority, "--inline-commands",
                         "127.0.0.1")  # fmt: skip
    client.until("Handshake was completed")
    for rekeyed in range(3):
        client.say(REQUEST)
        client.until(BODY)
        client.output = ""
        client.say("^rekey^\n")
        client.until("Rekey was completed")
    client.end()
    assert cipher in run("gnutls-cli", "--list", "--priority", priority).stdout


def test_curl_takes_a_large_answer_and_one_more_on_the_same_connection(gw, certs):
    url = f"https://localhost:{gw.port()}/"
    for version in ("--http1.1", "--http2"):
        done = run("curl", "-sS", version, "--tlsv1.3", "--cacert", certs.ca.pem, url, url)
        assert done.stdout == BODY * 2, done.stderr


def test_keys_change_when_openssl_asks_for_it(gw):
    client = openssl(gw)
    client.until("Verify return code")
    for command in ("K", "k", "K"):  # K asks for ours as well
        client.say(f"{command}\n")
        client.until("KEYUPDATE")
        client.output = ""
        client.say("GET / HTTP/1.1\nHost: localhost\n\n")
        client.until(LAST)
        client.output = ""
    client.end()


def test_changes_of_keys_without_a_request_are_few(gw):
    """Each costs us as much as the client: beyond 32 in a row it is told that this is not expected."""
    client = openssl(gw)
    client.until("Verify return code")
    for _ in range(33):
        client.output = ""
        client.say("K\n")
        client.until("KEYUPDATE")
    client.until("unexpected message")
    client.end()


def test_a_client_that_asks_for_short_records_gets_them(gw):
    """RFC 6066 §4."""
    client = openssl(gw, "-maxfraglen", "512", "-msg")
    client.until("Verify return code")
    client.output = ""
    client.say("GET / HTTP/1.1\nHost: localhost\nConnection: close\n\n")
    client.until("closed")
    lengths = [int(line.split()[-2] + line.split()[-1], 16) for line in client.output.splitlines()
               if line.startswith("    17 03 03")]  # fmt: skip
    assert lengths and max(lengths) == 512 + 17, lengths


def test_a_broken_record_ends_that_connection_alone(gw, certs):
    context = tls_context(certs.ca.pem, alpn=("http/1.1",))
    with tls(gw.port(), context) as bystander:
        plain = socket.create_connection(("127.0.0.1", gw.port()))
        client = context.wrap_socket(plain, server_hostname="localhost", do_handshake_on_connect=True)
        client.sendall(REQUEST.encode())
        read_until(client, LAST.encode())
        plain_again = socket.socket(fileno=client.fileno())
        plain_again.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        plain_again.detach()
        with pytest.raises(ssl.SSLError, match="(?i)bad record mac"):
            client.recv(1)
        client.close()
        bystander.sendall(REQUEST.encode())
        assert read_until(bystander, LAST.encode()).startswith(b"HTTP/1.1 200 ")
