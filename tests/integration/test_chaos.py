# timeout: 600
# serial
"""The chaos gate: what networks do to a wire, done at every offset of an exchange, between client
and gateway and between gateway and origin.

Threats: an exchange that hangs because a peer went silent at an unlucky byte; a truncated message
that is passed on as a whole one, or two halves as one (smuggling, cache poisoning); connections,
streams, file handles and timers that leak whenever a peer breaks off; an error that is called
something else in the log than it was.

What is expected of a case is derived from the bytes that the wire let pass, see chaos_verdict.
`./dev test --all` takes every byte, CI some of them and all borders.
"""

import pytest
from harness import chaos_cases as cases
from harness.chaos_stage import Stage


@pytest.fixture(scope="module")
def stage(binary, certs, tmp_path_factory):
    made = Stage(binary, certs, tmp_path_factory.mktemp("chaos"))
    yield made
    made.stop()


def _of(client: str) -> list[cases.Pairing]:
    """Together, since most of the time passes in waiting for the gateway's deadlines."""
    return [pairing for pairing in cases.PAIRINGS if pairing.client == client]


@pytest.mark.parametrize("client", ["h1", "h2"])
@pytest.mark.parametrize("leg", ["client", "upstream"])
def test_small_exchanges_whose_wire_breaks(stage, client, leg):
    stage.run([case for pairing in _of(client) for case in cases.small(pairing, leg)])


def test_the_handshake_with_an_upstream_breaks(stage):
    stage.run(cases.upstream_tls())


def test_a_connection_from_the_pool_breaks_and_only_what_may_be_repeated_is(stage):
    stage.run(cases.kept())


@pytest.mark.parametrize("client", ["h1", "h2"])
def test_bodies_larger_than_every_buffer(stage, client):
    stage.run([case for pairing in _of(client) for case in cases.large(pairing)], lanes=8)


def test_websockets_whose_wire_breaks(stage):
    stage.run([case for pairing in cases.TUNNELS for case in cases.tunnels(pairing)])
