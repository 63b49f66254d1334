"""One case of a protocol's rules: what is sent, and what the RFC says of it.

Steps are octets to send, or functions of the peer to wait for something between them. The outcome:
    alive              nothing happens to the connection: a PING behind it all is answered
    200                stream 1 gets this final status, and the connection lives on
    RST_STREAM CODE    a stream error on stream 1, and the connection lives on
    GOAWAY CODE        a connection error: the code is told, then the connection is closed
    closed             it is closed without a word
Several, where the RFC leaves the choice, are joined by " | ".
"""

from .frames import Peer


def ended(stream: int):
    """The step that waits until a stream's response is whole."""
    return lambda peer: peer.until_end(stream)


def verify(peer: Peer, steps, expected: str) -> None:
    for step in steps if isinstance(steps, (list, tuple)) else [steps]:
        if callable(step):
            step(peer)
        elif not peer.send(step):
            break
    if expected == "alive":
        assert peer.answers_ping(), peer.seen
        return
    choices = expected.split(" | ")
    got = peer.outcome(1, heads=any(choice.isdigit() for choice in choices))
    assert got in choices, peer.seen
    if got.startswith("GOAWAY"):
        peer.drain()
    elif got != "closed":
        assert peer.answers_ping(), f"the connection ended after {got}"
