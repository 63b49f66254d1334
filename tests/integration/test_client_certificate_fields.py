"""What upstreams are told of a client's certificate, in each form and over each protocol; and that no client
can say it of itself: not by another case or an underscore, twice, in a trailer, over plain HTTP, on a host
that asks for no certificate, nor with a certificate whose names end one field and begin another."""

import base64
import datetime
import json
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from harness import config
from harness.certs import Leaf
from harness.clients import read_all, tcp, tls, tls_context
from harness.gateway import Gateway
from harness.h2client import H2Client

FORMS = ("client_cert", "xfcc", "separate")
HOSTS = {
    # name: (mode, forward)
    "all.test": ("require", FORMS),
    "one.test": ("require", ("client_cert",)),
    "xfcc.test": ("require", ("xfcc",)),
    "ask.test": ("request", FORMS),
    "report.test": ("report", FORMS),
    "silent.test": ("require", ()),
    "open.test": ("off", ()),
}
FORGED = {
    "Client-Cert": ":Zm9yZ2Vk:",
    "Client-Cert-Chain": ":Zm9yZ2Vk:",
    "X-Forwarded-Client-Cert": 'Hash=forged;Subject="CN=forged"',
    "X-Client-Cert": "forged",
    "X-Client-Cert-Verify": "SUCCESS-forged",
    "X-Client-Cert-Subject": "CN=forged",
    "X-Client-Cert-Anything": "forged",
    "Client_Cert": ":Zm9yZ2Vk:",
    "X_Forwarded_Client-Cert": "forged",
    "X_Client_Cert_Subject": "CN=forged",
    "x-client-cert_verify": "SUCCESS-forged",
}


@pytest.fixture(scope="module")
def alice(certs):
    return certs.ca.leaf("alice.test", "spiffe://example.com/a,b;c=d", "alice@example.com", "10.1.2.3", client=True,
                         common_name="alice")  # fmt: skip


@pytest.fixture(scope="module")
def gw(binary, certs, origin, tmp_path_factory):
    """Each host with both kinds of upstream behind /h1/ and /h2/; `http` is a listener in plain text, and `lax`
    another https one that keeps underscores."""
    folder = tmp_path_factory.mktemp("fields")
    routes = [
        {"match": {"path_prefix": f"/{kind}/"}, "rewrite": {"prefix": "/"}, "upstream": kind} for kind in ("h1", "h2")
    ]
    lax = {"name": "lax", "address": "127.0.0.1:0", "underscores": "keep"}
    made = config.basic([certs.localhost], [origin.endpoint()], folder)
    made["listeners"].append(lax)
    made["upstreams"] = {kind: {"protocol": kind, "endpoints": [origin.endpoint(kind)]} for kind in ("h1", "h2")}
    made["tls"] = {"policies": {}}
    made["hosts"] = []
    for name, (mode, forward) in HOSTS.items():
        auth = {"mode": mode, "ca": str(certs.ca.pem)}
        if forward:
            auth["forward"] = list(forward)
        made["tls"]["policies"][name] = {"client_auth": auth}
        made["hosts"].append(config.host(name, [certs.ca.leaf(name)], routes, tls={"policy": name}))
    process = Gateway(binary, made, folder).wait_ready()
    yield process
    process.stop()


def ask(gw, certs, host, leaf=None, client="1.1", upstream="h1", headers=(), listener="https") -> dict:
    """What the origin saw: fields by lower-case name, each with all its values."""
    alpn = ("h2",) if client == "2" else ("http/1.1",)
    context = tls_context(certs.ca.pem, alpn=alpn, client=leaf)
    path = f"/{upstream}/echo"
    with tls(gw.port(listener), context, host) as connection:
        if client == "2":
            body = H2Client(connection).get(path, authority=host, headers=headers).body
        else:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}\r\n".encode())
            body = read_all(connection).split(b"\r\n\r\n", 1)[1]
        return seen(body)


def seen(body: bytes) -> dict:
    fields: dict[str, list[str]] = {}
    for name, value in json.loads(body)["headers"]:
        fields.setdefault(name.lower(), []).append(value)
    return fields


def identity(fields: dict) -> dict:
    """Those of a client's certificate, and whatever else speaks of a forger."""
    return {
        name: values
        for name, values in fields.items()
        if "client-cert" in name.replace("_", "-") or any("forged" in value or "Zm9yZ2Vk" in value for value in values)
    }


def expected(leaf: Leaf) -> dict:
    der = leaf.certificate.public_bytes(serialization.Encoding.DER)
    digest = leaf.certificate.fingerprint(hashes.SHA256()).hex()
    end = leaf.certificate.not_valid_after.strftime("%Y-%m-%dT%H:%M:%SZ")
    uri = "spiffe://example.com/a%2Cb;c=d"
    return {
        "client-cert": [f":{base64.b64encode(der).decode()}:"],
        "x-forwarded-client-cert": [f'Hash={digest};Subject="CN=alice";DNS=alice.test;URI="{uri}"'],
        "x-client-cert-verify": ["SUCCESS"],
        "x-client-cert-subject": ["CN=alice"],
        "x-client-cert-issuer": ["CN=Test root"],
        "x-client-cert-serial": [f"{leaf.serial:x}".rjust(len(f"{leaf.serial:x}") + len(f"{leaf.serial:x}") % 2, "0")],
        "x-client-cert-sha256": [digest],
        "x-client-cert-san": [f"DNS:alice.test, URI:{uri}, email:alice@example.com, IP:10.1.2.3"],
        "x-client-cert-not-after": [end],
    }


@pytest.mark.parametrize("upstream", ["h1", "h2"])
@pytest.mark.parametrize("client", ["1.1", "2"])
def test_an_upstream_is_told_all_that_is_asked_for_and_nothing_that_the_client_says(gw, certs, alice, client, upstream):
    whole = expected(alice)
    forged = [*FORGED.items(), *FORGED.items()]
    if client == "2":
        forged = [(name.lower(), value) for name, value in forged]
    for headers in ((), forged):
        told = ask(gw, certs, "all.test", alice, client, upstream, headers)
        assert identity(told) == whole
    told = ask(gw, certs, "one.test", alice, client, upstream, forged)
    assert identity(told) == {"client-cert": whole["client-cert"]}
    told = ask(gw, certs, "xfcc.test", alice, client, upstream, forged)
    assert identity(told) == {"x-forwarded-client-cert": whole["x-forwarded-client-cert"]}
    told = ask(gw, certs, "silent.test", alice, client, upstream, forged)
    assert identity(told) == {}


@pytest.mark.parametrize("client", ["1.1", "2"])
def test_a_client_cannot_pass_for_one_with_a_certificate(gw, certs, client):
    forged = [(name.lower() if client == "2" else name, value) for name, value in FORGED.items()]
    for host, wanted in (("open.test", {}), ("ask.test", {"x-client-cert-verify": ["NONE"]}),
                         ("report.test", {"x-client-cert-verify": ["NONE"]})):  # fmt: skip
        for listener in ("https", "lax"):
            told = ask(gw, certs, host, None, client, headers=forged, listener=listener)
            assert identity(told) == wanted


def test_names_may_be_written_in_any_case(gw, certs):
    shouted = [(name.upper(), value) for name, value in FORGED.items()]
    assert identity(ask(gw, certs, "open.test", headers=shouted)) == {}


def test_nor_over_plain_http(gw):
    lines = "".join(f"{name}: {value}\r\n" for name, value in FORGED.items())
    with tcp(gw.port("http")) as connection:
        connection.sendall(f"GET /h1/echo HTTP/1.1\r\nHost: open.test\r\nConnection: close\r\n{lines}\r\n".encode())
        assert identity(seen(read_all(connection).split(b"\r\n\r\n", 1)[1])) == {}


def test_a_client_cannot_have_ours_removed(gw, certs, alice):
    """`Connection` names fields that end here: those of the client, not those that are added after."""
    named = ", ".join(["close", *(name for name in expected(alice))])
    told = ask(gw, certs, "all.test", alice, headers=[("Connection", named)])
    assert identity(told) == expected(alice)


def test_who_will_not_do_is_told_by_the_verdict_alone(gw, certs):
    old = certs.ca.leaf("alice.test", client=True, common_name="alice", end=-1)
    stranger = certs.other_ca.leaf("alice.test", client=True, common_name="alice")
    for host in ("ask.test", "report.test"):
        for leaf, word in ((old, "expired"), (stranger, "untrusted")):
            told = ask(gw, certs, host, leaf, headers=FORGED.items())
            assert identity(told) == {"x-client-cert-verify": [f"FAILED:{word}"]}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_resumed_connection_is_told_of_as_the_first(gw, certs, alice, version):
    context = tls_context(certs.ca.pem, alpn=("http/1.1",), client=alice, maximum=version)
    request = b"GET /h1/echo HTTP/1.1\r\nHost: all.test\r\nConnection: close\r\nClient-Cert: :Zm9yZ2Vk:\r\n\r\n"
    session = None
    for resumed in (False, True):
        with tls(gw.port(), context, "all.test", session) as connection:
            connection.sendall(request)
            told = seen(read_all(connection).split(b"\r\n\r\n", 1)[1])
            assert connection.session_reused == resumed
            assert identity(told) == expected(alice)
            session = connection.session


def test_every_request_of_a_connection_is_told_of(gw, certs, alice):
    with tls(gw.port(), tls_context(certs.ca.pem, alpn=("h2",), client=alice), "all.test") as connection:
        client = H2Client(connection)
        for _ in range(3):
            assert identity(seen(client.get("/h2/echo", authority="all.test").body)) == expected(alice)


@pytest.mark.parametrize("client", ["1.1", "2"])
def test_not_in_trailers_either(gateway, certs, tmp_path, client):
    """The origin writes down what it got, trailers and all."""
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor() as pool:
        taken = pool.submit(take_one, listening)
        made = config.basic([certs.localhost], ["127.0.0.1:%d" % listening.getsockname()[1]], tmp_path)
        gw = gateway(made)
        forged = [(name.lower(), value) for name, value in FORGED.items()]
        with tls(gw.port(), tls_context(certs.ca.pem, alpn=("h2",) if client == "2" else ("http/1.1",))) as connection:
            if client == "2":
                h2 = H2Client(connection)
                number = h2.start("POST", "/", end=False)
                h2.send(number, b"hello")
                h2.trailers(number, [*forged, ("x-sum", "1")])
                assert h2.response(number).status == 200
            else:
                lines = "".join(f"{name}: {value}\r\n" for name, value in forged)
                connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                                   b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
                                   + f"{lines}X-Sum: 1\r\n\r\n".encode())  # fmt: skip
                assert read_all(connection).startswith(b"HTTP/1.1 200")
        sent = taken.result(10)
        assert b"hello" in sent and b"x-sum" in sent.lower(), sent
        assert b"forged" not in sent and b"Zm9yZ2Vk" not in sent, sent


def take_one(listening: socket.socket) -> bytes:
    """A request with a chunked body, to the end of its trailers."""
    connection, _ = listening.accept()
    with connection:
        connection.settimeout(10)
        data = b""
        while b"\r\n0\r\n" not in data or not data.endswith(b"\r\n\r\n"):
            data += connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return data


def evil(certs) -> Leaf:
    """A certificate whose every name tries to end its field."""
    ca = certs.ca
    leaf = ca.leaf(client=True)
    text = 'x"\r\nX-Client-Cert-Verify: SUCCESS\r\n\\";Subject="CN=admin";URI=spiffe://admin, "ä'
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
    now = datetime.datetime.utcnow()
    key = serialization.load_pem_private_key(leaf.key.read_bytes(), None)
    names = [x509.UniformResourceIdentifier('urn:x",DNS:admin;Subject="CN=admin"\\'), x509.DNSName('a";DNS=admin')]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(ca.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(ca._key, hashes.SHA256())
    )
    path = leaf.chain.with_suffix(".evil.pem")
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return Leaf(path, leaf.key, made)


@pytest.mark.parametrize("upstream", ["h1", "h2"])
def test_a_certificate_cannot_end_one_field_and_begin_another(gw, certs, upstream):
    leaf = evil(certs)
    told = identity(ask(gw, certs, "all.test", leaf, upstream=upstream))
    assert told["x-client-cert-verify"] == ["SUCCESS"] and len(told) == 9
    (envoy,) = told["x-forwarded-client-cert"]
    digest = leaf.certificate.fingerprint(hashes.SHA256()).hex()
    quoted = (
        r'x\22\0D\0AX-Client-Cert-Verify: SUCCESS\0D\0A\5C\22\;Subject=\22CN=admin\22\;URI=spiffe://admin\, \22\C3\A4'
    )
    uri, dns = "urn:x%22%2CDNS:admin;Subject=%22CN=admin%22%5C", "a%22;DNS=admin"
    assert envoy.replace(r"\=", "=") == f'Hash={digest};Subject="CN={quoted}";URI="{uri}";DNS="{dns}"'
    assert told["x-client-cert-san"] == [f"URI:{uri}, DNS:{dns}"]
    assert envoy.count('"') == 6
