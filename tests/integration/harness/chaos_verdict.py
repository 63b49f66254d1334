"""What a case of the chaos gate must look like, derived from what the broken wire let pass:
the phase in which it broke, the table of src/proxy/reply_table.cpp, and the rule that what is
incomplete never looks complete."""

import dataclasses
import re

from .chaos import Flow, tls_records
from .chaos_cases import Case
from .chaos_peers import PREFACE, Progress

# What TLS 1.3 sends before the exchange's first record: hello, change cipher spec, finished.
HANDSHAKE_RECORDS = 3


@dataclasses.dataclass
class Verdict:
    """client: whole, cut (with or without a head), ended (a WebSocket may do so at any byte), or a
    status for a whole reply of the gateway's own. log: None for no line, or fields that the line
    has; None as a value stands for a field's absence."""

    client: str | int
    log: dict | None
    origin: bool | None  # whether the origin has a whole request; None: either
    nameless: bool = False  # the log's line cannot name the target, which was never read


def _framed_http1(message: bytes, request: bool) -> str:
    head, found, rest = message.partition(b"\r\n\r\n")
    if not found:
        return "head" if message else "nothing"
    lower = head.lower()
    if b"\r\nupgrade: websocket" in lower:
        return "tunnel"
    if b"\r\ntransfer-encoding: chunked" in lower:
        whole = re.search(rb"(^|\r\n)0\r\n(.+\r\n)*\r\n$", rest)
    else:
        length = re.search(rb"\r\ncontent-length: (\d+)", lower)
        whole = len(rest) >= (int(length.group(1)) if length else 0)
    return "whole" if whole else "body"


def _framed_http2(message: bytes, request: bool) -> str:
    """Of the only stream that there is."""
    if request:
        if len(message) < len(PREFACE):
            return "nothing"
        message = message[len(PREFACE) :]
    phase = "nothing"
    while len(message) >= 9 and len(message) >= 9 + int.from_bytes(message[:3], "big"):
        kind, flags = message[3], message[4]
        if kind == 1 and phase == "nothing":
            phase = "body"
        if kind in (0, 1) and flags & 1:
            phase = "whole"
        message = message[9 + int.from_bytes(message[:3], "big") :]
    if phase == "nothing" and len(message) > 3 and message[3] == 1:
        phase = "head"
    return phase


def phase(case: Case, flow: Flow, progress: Progress) -> str:
    """How far the message in the struck direction came: nothing, head, body, tunnel, whole; or
    handshake, if TLS was not through."""
    message = flow.message
    kind = case.pairing.client if case.leg == "client" else case.pairing.upstream
    if case.leg == "client" and case.pairing.tls:
        if case.direction == "down":
            return "unread" if progress.written else "handshake"
        records = len(tls_records(message)) - 1
        if tls_records(message)[-1] > len(message):
            records -= 1
        if records < HANDSHAKE_RECORDS:
            return "handshake"
        message = b"".join(progress.written[: records - HANDSHAKE_RECORDS])
    if kind == "h1s":
        if case.direction == "down":
            return "unread" if progress.received else "handshake"
        hello = tls_records(message)[1:2]
        return "unread" if hello and hello[0] <= len(message) else "handshake"
    framed = _framed_http1 if kind == "h1" else _framed_http2
    return framed(message, case.direction == "up")


async def gate(case: Case, flow: Flow, progress: Progress, line):
    if case.leg == "client" and case.direction == "down":
        # The gateway has answered all it had to, if it was asked.
        if progress.written and case.exchange.tunnel:
            await progress.asked.wait()
        elif progress.written and not _large(case):
            await line()
    elif case.leg == "client" and _long(case) and phase(case, flow, progress) in ("body", "tunnel"):
        await progress.head_seen.wait()
    elif case.pairing.upstream == "h1s":
        # The gateway speaks first once the handshake is done, and the origin answers at once.
        await (progress.answered if case.direction == "down" else progress.head_seen).wait()
    elif case.leg == "upstream" and case.direction == "up" and phase(case, flow, progress) == "whole":
        await progress.answered.wait()  # HTTP/2 has more to say: credit, acknowledgements
    elif case.leg == "upstream" and case.direction == "down" and _all_there(case, flow):
        await line()
    elif case.leg == "upstream" and case.direction == "down" and phase(case, flow, progress) in ("body", "tunnel"):
        await progress.head_seen.wait()


def _all_there(case: Case, flow: Flow) -> bool:
    """All of a response of known length is here but HTTP/2's END_STREAM: an HTTP/1.1 client needs no more."""
    known = case.pairing.client == "h1" and not (_long(case) or case.exchange.chunked)
    return known and flow.message.endswith(case.exchange.response[-1])


def _long(case: Case) -> bool:
    return case.exchange.talk or case.exchange.tunnel


def _large(case: Case) -> bool:
    return len(case.exchange.body) + len(case.exchange.answer) > 1_000_000


WORDS = {"reset": "reset", "half": "closed"}


def expected(case: Case, links, progress: Progress) -> Verdict:
    flow = next((link.struck for link in links if link.struck), None)
    if flow is None or case.fault in ("slice", "delay"):
        return _went_well(case)
    at = phase(case, flow, progress)
    if sum(message.whole for message in progress.received) > 1 and case.exchange.method != "GET":
        raise AssertionError("a request that may not be repeated was")
    if case.exchange.tunnel and _opened(case, at, progress):
        return _tunnel_broke(case, progress)
    if case.pairing.upstream == "h1s" and at == "handshake":
        return _handshake_broke(case)
    if case.pairing.upstream == "h1s" and progress.response.whole and progress.response.status == 200:
        return _went_well(case)  # what was struck lies behind the response: the end of TLS
    if case.leg == "client":
        return _client_up(case, at, flow, progress) if case.direction == "up" else _client_down(case, at, progress)
    return _upstream_up(case, at, progress) if case.direction == "up" else _upstream_down(case, at, flow, progress)


def _went_well(case: Case, retries: int = 0) -> Verdict:
    status = 101 if case.exchange.tunnel else 200  # in the log: over h2 a WebSocket is accepted by 200
    return Verdict("whole", {"status": status, "reason": None, "error": None, "retries": retries}, True)


def _opened(case: Case, at: str, progress: Progress) -> bool:
    """Whether the bytes that were struck are behind the WebSocket's handshake."""
    if case.leg == "client" and case.direction == "down":
        return bool(progress.received)
    return at == "tunnel" or (case.leg == "client" and case.direction == "up" and at == "body")


def _tunnel_broke(case: Case, progress: Progress) -> Verdict:
    well = _went_well(case)
    status = well.log["status"]
    if case.leg == "client" and case.direction == "down" and progress.response.body == case.exchange.answer:
        return Verdict("cut", well.log, True)  # only the end was still to come
    if case.fault == "stall":
        return Verdict("cut", IDLE | {"status": status}, True)
    # Over HTTP/1.1 in clear text an end is a message like any other, which either side may send
    # first; within TLS it is none without a close_notify, and HTTP/2 loses all of its streams.
    ends = case.fault == "half" and (case.leg == "upstream" or str(case.pairing).startswith("h1-"))
    if ends:
        return Verdict("ended", well.log, True)
    if case.leg == "upstream":
        line = {"reason": "upstream_reset", "error": WORDS[case.fault], "fault": "upstream"}
        return Verdict("cut", {"status": status, **line}, True)
    gone = _gone(WORDS[case.fault], status)
    if case.direction == "down":
        del gone["status"]  # whether the head was on its way is not told by the bytes
    return Verdict("cut", gone, True)


def _gone(error: str, status: int = 0) -> dict:
    return {"status": status, "reason": "client_gone", "error": error, "fault": "client"}


# Nothing moved in either direction of a response that was begun.
IDLE = {"status": 200, "reason": "upstream_timeout", "error": "idle_timeout", "fault": "upstream"}


def _client_up(case: Case, at: str, flow: Flow, progress: Progress) -> Verdict:
    undecided = not case.pairing.tls and PREFACE.startswith(flow.message)
    answered = case.fault == "stall" and case.pairing.client == "h1" and not undecided
    if at in ("handshake", "nothing") or (at == "head" and not answered):
        return Verdict("cut", None, False)
    begun = case.exchange.talk and progress.response.head
    if case.fault == "stall" and begun:
        return Verdict("cut", IDLE, False)
    if case.fault == "stall":
        error = "head_timeout" if at == "head" else "body_timeout"
        line = {"status": 408, "reason": "request_timeout", "error": error, "fault": "client"}
        return Verdict(408, line, False, nameless=at == "head")
    gone = _gone(WORDS[case.fault], 200 if begun else 0)
    if case.exchange.talk and not begun:
        del gone["status"]  # a head may have been on its way when the reset overtook it
    return Verdict("cut", gone, at == "whole")


def _client_down(case: Case, at: str, progress: Progress) -> Verdict:
    if not progress.received:
        return Verdict("cut", None, False)
    if case.exchange.talk and not progress.received[0].whole:
        # The client waits for an echo that does not come, and the gateway for the client.
        gone = _gone(WORDS.get(case.fault, ""))
        del gone["status"]  # whether the head was on its way is not told by the bytes
        return Verdict("cut", IDLE if case.fault == "stall" else gone, False)
    if _large(case):
        error = WORDS.get(case.fault, "body_timeout")  # a client that sees the end leaves
        return Verdict("cut", _gone(error, 200), True)
    return Verdict("cut", {"status": 200, "reason": None, "error": None}, True)


def _upstream_up(case: Case, at: str, progress: Progress) -> Verdict:
    if at == "whole":
        return _went_well(case)
    if _repeated(case):
        return _went_well(case, retries=1)
    return _upstream_broke(case, progress, False)


def _upstream_down(case: Case, at: str, flow: Flow, progress: Progress) -> Verdict:
    if _repeated(case) and at in ("nothing", "head"):
        return _went_well(case, retries=1)
    if _all_there(case, flow):
        return _went_well(case)
    return _upstream_broke(case, progress, None)


def _handshake_broke(case: Case) -> Verdict:
    if case.fault == "stall":
        line = {"status": 504, "reason": "upstream_timeout", "error": "tls_timeout", "fault": "upstream"}
        return Verdict(504, line, False)
    error = {"reset": "tls_reset", "half": "tls_closed"}[case.fault]
    return Verdict(502, {"status": 502, "reason": "upstream_tls", "error": error, "fault": "upstream"}, False)


def _repeated(case: Case) -> bool:
    """Most likely the upstream had closed it already: what may be repeated is, on a fresh one."""
    return case.kept and case.fault != "stall" and case.exchange.method == "GET"


def _upstream_broke(case: Case, progress: Progress, origin: bool | None) -> Verdict:
    """Before the response's head the gateway answers, behind it the response is cut off."""
    begun = progress.response.head and progress.response.status < 300
    if case.fault == "stall":
        error = "idle_timeout" if begun else "head_timeout"
        fields = {"reason": "upstream_timeout", "error": error, "fault": "upstream"}
        status = 504
    else:
        fields = {"reason": "upstream_reset", "error": WORDS[case.fault], "fault": "upstream"}
        status = 502
    if begun:
        return Verdict("cut", {"status": 200, **fields}, origin)
    return Verdict(status, {"status": status, **fields}, origin)


def differences(case: Case, want: Verdict, progress: Progress, lines: list[dict]) -> list[str]:
    response, exchange, wrong = progress.response, case.exchange, []
    # No wrong data, whatever else is true.
    if response.status in (101, 200) and not exchange.answer.startswith(response.body):
        wrong.append("wrong response bytes")
    if response.whole and response.status == 200 and not exchange.tunnel and (
        response.body != exchange.answer or (response.trailers != exchange.response_trailers)
    ):
        wrong.append("an incomplete response passed for a whole one")
    for message in progress.received:
        right = exchange.body == message.body if message.whole else exchange.body.startswith(message.body)
        if not (exchange.tunnel or right):
            wrong.append("wrong request bytes")
    if want.origin is not None and any(m.whole for m in progress.received) != want.origin:
        wrong.append("the origin has a request that was not whole" if not want.origin else "the request did not arrive")
    if want.client == "whole":
        if not (response.whole and response.status in (101, 200)):
            wrong.append("not whole")
    elif want.client == "cut":
        if response.whole:
            wrong.append("whole, not cut")
    elif want.client != "ended" and (not response.whole or response.status != want.client):
        wrong.append(f"not a whole {want.client}")
    if want.log is None or want.nameless:
        if lines:
            wrong.append("a line in the log")
    elif len(lines) != 1:
        wrong.append(f"{len(lines)} lines in the log")
    else:
        wrong += [f"log {key}: {lines[0].get(key)}" for key, value in want.log.items() if lines[0].get(key) != value]
    return wrong
