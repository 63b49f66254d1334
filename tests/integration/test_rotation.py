# labels: multiworker
"""A certificate is replaced: who is connected goes on under what was negotiated, every handshake
after the reload has the new chain, whichever worker it meets, and a ticket made under the old one
resumes, unless the host says that it must not."""

import shutil
import ssl

import pytest
from harness import config
from harness.clients import read_until, tls, tls_context
from harness.process import wait_until

WORKERS = 2
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
OPEN, BOUND, PAIR = "open.test", "bound.test", "pair.test"


class Site:
    """A host's certificates at paths of its own, so that only the files change."""

    def __init__(self, folder, certs, name, keys=("ecdsa",)):
        self.folder, self.certs, self.name, self.shown = folder, certs, name, {}
        for key in keys:
            self.renew(key)

    def renew(self, key="ecdsa") -> int:
        leaf = self.certs.ca.leaf(self.name, key=key)
        for part, source in (("pem", leaf.chain), ("key", leaf.key)):
            fresh = self.folder / f"{self.name}.{key}.{part}.new"
            shutil.copy(source, fresh)
            fresh.rename(fresh.with_suffix(""))
        self.shown[key] = leaf.serial
        return leaf.serial

    def host(self, **tls_keys) -> dict:
        made = config.host(self.name, [], [{"reply": {"status": 200, "body": self.name}}], tls=tls_keys)
        made["tls"]["certificates"] = [
            {"chain": str(self.folder / f"{self.name}.{key}.pem"), "key": str(self.folder / f"{self.name}.{key}.key")}
            for key in self.shown
        ]
        return made


@pytest.fixture(scope="module")
def sites(certs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rotation")
    return {OPEN: Site(folder, certs, OPEN), BOUND: Site(folder, certs, BOUND),
            PAIR: Site(folder, certs, PAIR, ("ecdsa", "rsa"))}  # fmt: skip


@pytest.fixture(scope="module")
def gw(shared_gateway, origin, certs, sites, tmp_path_factory):
    made = config.basic([certs.localhost], [origin.endpoint()], tmp_path_factory.mktemp("log"), workers=WORKERS)
    made["hosts"] = [sites[OPEN].host(), sites[BOUND].host(resume_after_rotation=False),
                     sites[PAIR].host(resume_after_rotation=False)]  # fmt: skip
    return shared_gateway(made)


class Client:
    def __init__(self, gw, certs, name, version=V13):
        self.gw, self.name = gw, name
        self.context = tls_context(certs.ca.pem, alpn=("http/1.1",), maximum=version)

    def connect(self, session=None):
        return tls(self.gw.port(), self.context, self.name, session)

    def ask(self, connection) -> None:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {self.name}\r\n\r\n".encode())
        assert read_until(connection, b"\r\n\r\n" + self.name.encode()).startswith(b"HTTP/1.1 200")

    def visit(self, session=None):
        """(session, whether it was resumed); it asks, for a TLS 1.3 ticket comes behind the handshake."""
        with self.connect(session) as connection:
            self.ask(connection)
            return connection.session, connection.session_reused


def serial(connection) -> int:
    return int(connection.getpeercert()["serialNumber"], 16)


def reloaded(gw) -> None:
    """Reloads, and waits for the log's word: from then on nobody may see the old one."""
    at = len(gw.log())
    assert gw.reload()
    gw.wait_log(r' reloaded ', after=at)


@pytest.mark.parametrize("version", [V12, V13])
def test_who_is_connected_goes_on_and_every_new_handshake_has_the_new_chain(gw, certs, sites, version):
    client = Client(gw, certs, OPEN, version)
    before = sites[OPEN].shown["ecdsa"]
    held = [client.connect() for _ in range(8)]
    try:
        for connection in held:
            client.ask(connection)
        after = sites[OPEN].renew()
        reloaded(gw)
        seen = set()
        for _ in range(40):
            with client.connect() as connection:
                seen.add(serial(connection))
        assert seen == {after}
        for connection in held:
            client.ask(connection)
            assert serial(connection) == before
    finally:
        for connection in held:
            connection.close()


@pytest.mark.parametrize("version", [V12, V13])
def test_a_ticket_of_the_old_certificate_resumes(gw, certs, sites, version):
    client = Client(gw, certs, OPEN, version)
    session, _ = client.visit()
    sites[OPEN].renew()
    reloaded(gw)
    for _ in range(10):
        assert client.visit(session)[1]


@pytest.mark.parametrize("version", [V12, V13])
def test_unless_the_host_says_otherwise(gw, certs, sites, version):
    """The full handshake shows the new one, and the ticket of that is good, also after a reload of nothing."""
    client = Client(gw, certs, BOUND, version)
    old, _ = client.visit()
    assert client.visit(old)[1]
    after = sites[BOUND].renew()
    reloaded(gw)
    for _ in range(10):
        with client.connect(old) as connection:
            client.ask(connection)
            assert not connection.session_reused and serial(connection) == after
            fresh = connection.session
    reloaded(gw)
    assert client.visit(fresh)[1]


def test_one_of_two_certificates_is_enough(gw, certs, sites):
    """Which of them a ticket was made under is not written in it."""
    client = Client(gw, certs, PAIR)
    session, _ = client.visit()
    assert client.visit(session)[1]
    sites[PAIR].renew("rsa")
    reloaded(gw)
    assert not client.visit(session)[1]


def test_the_one_that_is_gone_is_in_no_metric(gw, sites):
    shown = wait_until(
        lambda: [labels["serial_hash"] for labels, _ in
                 gw.metrics().samples("sallyport_tls_certificate_not_after_timestamp_seconds")],
        "the certificates' expiry", process=gw)  # fmt: skip
    assert len(shown) == 4
