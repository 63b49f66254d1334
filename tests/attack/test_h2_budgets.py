"""The threat: a limit that stands in the configuration and nowhere else. Each budget of limits.h2, set
far below its default, lets through what it says and ends the connection right behind it."""

import pytest
from harness.frames import GOAWAY, code_name
from test_h2_floods import FLOODS, FRAMES, PROVOKED, attacker

BURST = 10
BUDGETS = {
    "resets": "rapid reset",
    "provoked_resets": "a connection-specific field",
    "continuations": "CONTINUATION",
    "pings": "PING",
    "settings": "SETTINGS",
    "priorities": "PRIORITY",
    "empty_frames": "empty DATA",
    "window_updates": "WINDOW_UPDATE of a stream",
    "unknown_frames": "unknown frames",
}


def configure(config):
    budgets = {name: {"burst": BURST, "per_second": 1} for name in BUDGETS}
    config["limits"] = {"h2": {**budgets, "continuations": BURST}}


@pytest.mark.parametrize("key", BUDGETS)
def test_each_budget_is_the_configured_one(arena, key):
    flood = (FRAMES | PROVOKED)[BUDGETS[key]]
    frames = [flood.nth(3 + 2 * n) for n in range(5 * BURST)]
    with arena.moved(FLOODS, kind=flood.kind):
        with attacker(arena) as peer:  # our own greeting and its PING are part of what it spends
            peer.send(flood.begin, *frames[: BURST - 3])
            # Within a head nothing else may be said; unit_http2 shows that CONTINUATION is let through.
            assert key == "continuations" or peer.answers_ping()
            peer.send(*frames[BURST - 3 :])
            peer.drain()
            assert [code_name(f.word(4)) for f in peer.seen if f.kind == GOAWAY] == ["ENHANCE_YOUR_CALM"]
    assert len(arena.reached()) <= 2 * BURST
