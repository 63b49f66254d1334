"""Cloudflare, as an origin sees it: connections from many addresses, kept and reused for as long as
Cloudflare keeps them, with its TLS, its header fields and its patience. Each request ends in an
Outcome, which says what the visitor would have been shown: the origin's answer, or which 52x page
and why.

    async with Edge(addresses, ("127.0.0.1", port), "example.com", ca) as edge:
        outcome = await edge.request("GET", "/path", http="h2")
        assert outcome.code == 0, outcome       # no page of Cloudflare's own

    terms    its waits, header fields and verdicts    http1, http2   what it says over a connection
    wire     TCP and TLS, byte by byte                edge           its pools, and what it is asked for
    hello    hellos with a post-quantum key share     websocket      frames of RFC 6455

Everything runs on the loop of the caller. What an hour would show is shown in seconds by
Times.scaled(), beside a gateway whose own waits are divided by the same number.
"""

from .edge import Edge
from .terms import Closing, Outcome, Times

__all__ = ["Closing", "Edge", "Outcome", "Times"]
