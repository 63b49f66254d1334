"""The arena's own words are true: what reaches an origin is seen, what does not is not, and what
the attack suite calls a refusal is one."""

from arena import EVERY, LOCAL_REPLIES

GOOD = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_what_reaches_an_origin_is_seen_in_order(arena):
    asked = arena.ask(GOOD % b"/one" + GOOD % b"/h2/two" + GOOD % b"/three", answers=3)
    assert asked.statuses == [200] * 3 and not asked.closed
    assert sorted(seen.target for seen in arena.reached()) == ["/h2/two", "/one", "/three"]
    assert b"GET /one HTTP/1.1\r\n" in arena.origin.raw


def test_a_test_starts_with_empty_records_and_pieces_make_one_request(arena):
    assert arena.reached() == []
    assert arena.ask(GOOD % b"/pieces", cuts=EVERY, answers=1).statuses == [200]
    assert [seen.target for seen in arena.reached()] == ["/pieces"]


def test_a_refusal_is_answered_counted_and_ends_the_connection(arena):
    with arena.moved(LOCAL_REPLIES, code="400", reason="bad_request"):
        asked = arena.ask(b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: +3\r\n\r\n" + GOOD % b"/behind")
    assert (asked.statuses, asked.closed) == ([400], True)
    assert arena.reached() == []


def test_cost_is_measured(arena):
    with arena.cost("one request after another, over new connections", 50) as cost:
        for _ in range(50):
            arena.ask(GOOD % b"/", answers=1)
    assert cost.bytes == 50 * len(GOOD % b"/") and cost.microseconds > 0.01
