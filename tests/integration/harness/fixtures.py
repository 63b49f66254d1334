"""The fixtures of all tests that drive the real gateway; a folder's conftest.py takes them in. The
binaries come from SALLYPORT_BIN and SALLYPORT_DEMO_BIN, which ctest sets; by hand:

    SALLYPORT_BIN=build/release/sallyport SALLYPORT_DEMO_BIN=build/release/sallyport-demo \
        /usr/bin/python3 -m pytest tests/integration/test_smoke.py
"""

import os
import pathlib
import shutil
import socket

import pytest

from .certs import Certificates
from .clients import tcp, tls, tls_context
from .config import basic
from .frames import Peer
from .gateway import Gateway
from .origin import Origin

PEERS = ("curl", "openssl", "gnutls-cli", "nghttp", "h2load", "nghttpd", "nginx", "haproxy", "promtool")


def pytest_configure(config):
    """A missing peer is a failure: a test that is left out proves nothing."""
    missing = [peer for peer in PEERS if not shutil.which(peer, path=os.environ["PATH"] + ":/usr/sbin:/sbin")]
    if missing:
        raise pytest.UsageError(f"missing: {' '.join(missing)} (./dev deps peers installs them)")


def program(variable: str) -> pathlib.Path:
    path = pathlib.Path(os.environ.get(variable, ""))
    assert path.is_file(), f"{variable} does not name a program: '{path}'"
    return path.resolve()


@pytest.fixture(scope="session")
def binary() -> pathlib.Path:
    return program("SALLYPORT_BIN")


@pytest.fixture(scope="session")
def certs(tmp_path_factory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="session")
def origin(tmp_path_factory):
    """A sallyport-demo that all tests of a file share: HTTP/1.1 and h2c, each on its port."""
    process = Origin(program("SALLYPORT_DEMO_BIN"), tmp_path_factory.mktemp("origin")).wait_ready()
    yield process
    process.stop()


def _end(processes) -> None:
    """Ends them in reverse order; the first that ended badly fails the test."""
    failures = []
    for process in reversed(processes):
        try:
            process.stop()
        except AssertionError as failure:
            failures.append(failure)
        print(f"---- {process.log_file}\n{process.log()[-20000:]}")
    if failures:
        raise failures[0]


@pytest.fixture
def start_origin(tmp_path):
    """start_origin(h1=..., h2=..., auto=..., cert=..., key=..., client_ca=...) starts one of the test's own."""
    started = []

    def start(**options) -> Origin:
        process = Origin(program("SALLYPORT_DEMO_BIN"), tmp_path, f"origin{len(started) or ''}", **options)
        started.append(process)
        return process.wait_ready()

    yield start
    _end(started)


def _gateways(binary, folder):
    started = []

    def start(config, ready: bool = True, env=None) -> Gateway:
        process = Gateway(binary, config, folder, env, f"gateway{len(started) or ''}")
        started.append(process)
        return process.wait_ready() if ready else process

    yield start
    _end(started)


@pytest.fixture
def gateway(binary, tmp_path):
    """gateway(config) starts one and waits until it serves; with ready=False it does not wait. At
    the test's end it must leave by SIGTERM with status 0 and without a sanitizer's report."""
    yield from _gateways(binary, tmp_path)


@pytest.fixture(scope="module")
def shared_gateway(binary, tmp_path_factory):
    """The same, for all tests of a file."""
    yield from _gateways(binary, tmp_path_factory.mktemp("gateway"))


@pytest.fixture(scope="module")
def raw_h2(shared_gateway, origin, certs, tmp_path_factory):
    """raw_h2(listener, ...) is a Peer on a new connection to a gateway that the tests of a file
    share, over TLS ("https") or in clear text by prior knowledge ("http")."""
    folder = tmp_path_factory.mktemp("raw_h2")
    running = shared_gateway(basic([certs.localhost], [origin.endpoint()], folder))
    context = tls_context(certs.ca.pem, alpn=("h2",))

    def connect(listener: str, *settings, **more) -> Peer:
        port = running.port(listener)
        return Peer(tls(port, context) if listener == "https" else tcp(port), *settings, **more)

    return connect


@pytest.fixture
def refused_port():
    """A port on 127.0.0.1 that refuses connections: bound, so nobody else gets it, not listening."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
