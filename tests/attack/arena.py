"""Where attacks take place: the real gateway, origins that record whatever reaches them, and a
second client who must be served all the while.

    localhost   plain (listener http) and TLS (https): / goes to `arena.origin` over HTTP/1.1,
                /h2/ to `arena.h2_origin` over HTTP/2 in clear text, /reply is answered by the gateway
    calm.test   the bystander's, with an origin of its own

    arena.ask(bytes, cuts=…)      an attacker's connection; what was answered, and whether it was closed
    arena.reached()               what the origins have seen since the test's begin, later no more
    with arena.moved(COUNTER, reason="…"):       the counter goes up by what happens inside
    with arena.cost("what", 5.0) as cost:        CPU microseconds per attack byte, printed and bounded

The tests' conftest checks the bystander after each test and the gateway's exit, with its
sanitizer's report, after each module.
"""

import contextlib
import dataclasses
import re
import select
import socket

from bystander import Bystander
from harness import config
from harness.clients import tcp
from harness.gateway import Gateway
from recording import RecordingH2Origin, RecordingOrigin, Seen

PACE = b"GET /reply HTTP/1.1\r\nHost: localhost\r\n\r\n"
SLOWER_BY = 10  # a sanitizer build's bounds of time
LOCAL_REPLIES = "sallyport_http_local_replies_total"

EVERY = "every byte by itself"


@dataclasses.dataclass
class Answer:
    status: int
    fields: list[tuple[str, str]]  # names in lower case
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]


@dataclasses.dataclass
class Asked:
    """What came of one connection."""

    answers: list[Answer]  # whole ones, 1xx left out
    rest: bytes  # behind them
    closed: bool  # by the gateway
    sent: int  # bytes that went out before it closed

    @property
    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers]


class Cost:
    def __init__(self):
        self.bytes = 0  # the attacker's; arena.ask() adds its own
        self.microseconds = 0.0  # of CPU, a byte


class Arena:
    def __init__(self, binary, certs, calm_origin, folder, configure=None):
        self.certs = certs
        self.sanitized = b"__asan_" in binary.read_bytes() or b"__tsan_" in binary.read_bytes()
        self.origin, self.h2_origin = RecordingOrigin(), RecordingH2Origin()
        made = config.basic([certs.localhost], [self.origin.endpoint], folder)
        made["hosts"][0]["routes"] = [
            {"match": {"path": "/reply"}, "reply": {"status": 200, "body": "calm"}},
            {"match": {"path_prefix": "/h2/"}, "upstream": "h2"},
            {"upstream": "web"},
        ]
        made["hosts"].append(config.host("calm.test", [certs.ca.leaf("calm.test")], [{"upstream": "calm"}]))
        made["upstreams"]["h2"] = {"protocol": "h2", "endpoints": [self.h2_origin.endpoint]}
        made["upstreams"]["calm"] = {"endpoints": [calm_origin.endpoint()]}
        if configure:
            configure(made)
        self.config = made
        self.gateway = Gateway(binary, made, folder).wait_ready()
        self.bystander = Bystander(self.gateway.port(), certs.ca.pem)
        self._pacer = tcp(self.gateway.port("http"))
        self._barriers = 0
        self._attack_bytes = 0

    def close(self):
        self._pacer.close()
        try:
            self.bystander.stop()
            print(f"the second client: {self.bystander.turns} requests, the slowest took {self.bystander.worst:.3f} s")
        finally:
            self.gateway.stop()
            self.origin.close()
            self.h2_origin.close()

    def forget(self):
        """The origins' records begin anew."""
        self.origin.forget()
        self.h2_origin.forget()

    # ---- the attacker ----

    def connect(self, listener: str = "http") -> socket.socket:
        return tcp(self.gateway.port(listener))

    def turn(self):
        """Returns once the gateway (of one worker) has had a turn of its loop, so that what was
        sent before has been read: an exchange over a connection of its own."""
        answer = self._paced()
        if not answer:  # it closes a connection after so many requests
            self._pacer.close()
            self._pacer = self.connect()
            answer = self._paced()
        assert answer.endswith(b"\r\n\r\ncalm"), answer

    def _paced(self) -> bytes:
        try:
            self._pacer.sendall(PACE)
            answer = b""
            while not answer.endswith(b"\r\n\r\ncalm") and (more := self._pacer.recv(65536)):
                answer += more
            return answer
        except (BrokenPipeError, ConnectionResetError):
            return b""

    def ask(self, data: bytes, cuts=(), answers: int | None = None, bodiless: bool = False,
            listener: str = "http") -> Asked:  # fmt: skip
        """Sends bytes over a connection of their own, in pieces cut at these offsets (or EVERY),
        each read by the gateway before the next. Reads until so many whole final answers have
        come, or, if no number is given, until the gateway closes. `bodiless`: to HEAD."""
        places = range(1, len(data)) if cuts == EVERY else cuts
        pieces = [data[begin:end] for begin, end in zip([0, *places], [*places, len(data)])]
        received, sent, closed = b"", 0, False
        with self.connect(listener) as connection:
            for number, piece in enumerate(pieces):
                if number:
                    self.turn()
                try:
                    while not closed and select.select([connection], [], [], 0)[0]:
                        more = connection.recv(65536)
                        closed, received = not more, received + more
                    if closed:
                        break
                    connection.sendall(piece)
                except (BrokenPipeError, ConnectionResetError):
                    break
                sent += len(piece)
            self._attack_bytes += sent
            whole, rest = _read_answers(received, bodiless)
            while not closed and (answers is None or len(whole) < answers):
                try:
                    more = connection.recv(65536)
                except ConnectionResetError:
                    more = b""
                closed = not more
                received += more
                whole, rest = _read_answers(received, bodiless)
        return Asked(whole, rest, closed, sent)

    # ---- what came of it ----

    def reached(self) -> list[Seen]:
        """Every request that an origin has seen since the test began. A request of our own goes
        the same ways behind all that was sent before, so nothing is still under way."""
        self._barriers += 1
        mark = f"/barrier/{self._barriers}"
        for path in (mark, "/h2" + mark):
            request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            asked = self.ask(request, answers=1)
            assert asked.statuses == [200], asked
            self._attack_bytes -= len(request)
        return [seen for seen in (*self.origin.seen, *self.h2_origin.seen) if "/barrier/" not in seen.target]

    def counter(self, name: str, **labels) -> float:
        return self.gateway.metrics().value(name, **labels)

    @contextlib.contextmanager
    def moved(self, name: str, by: float = 1, **labels):
        """The counter goes up by exactly so much."""
        before = self.counter(name, **labels)
        yield
        self.gateway.wait_metric(name, before + by, **labels)
        after = self.counter(name, **labels)
        assert after == before + by, f"{name}{labels}: {before} → {after}"

    def grew_less(self, since: int, kib: int) -> bool:
        """Whether resident memory has grown by less than `kib` since it was `since`. Under a
        sanitizer, whose own memory grows with each allocation, that is not told: always true."""
        grown = self.gateway.rss_kib() - since
        print(f"resident memory: {grown} KiB more (bound {kib})")
        return grown < kib or self.sanitized

    @contextlib.contextmanager
    def cost(self, what: str, at_most: float):
        """Measures the gateway's CPU time over what is done inside, the bystander resting, and
        says it; more than `at_most` microseconds a byte of attack (arena.ask() counts its own,
        add others to cost.bytes) fails."""
        cost = Cost()
        self.bystander.pause(True)
        try:
            self.turn()
            self.bystander.check()  # and its connection is idle
            begun, count = self.gateway.cpu_seconds(), self._attack_bytes
            yield cost
            self.turn()
            spent = self.gateway.cpu_seconds() - begun
        finally:
            self.bystander.pause(False)
        cost.bytes += self._attack_bytes - count
        cost.microseconds = spent * 1e6 / cost.bytes
        bound = at_most * (SLOWER_BY if self.sanitized else 1)
        text = f"{what}: {cost.bytes} bytes cost {spent * 1e3:.1f} ms of CPU, {cost.microseconds:.3f} µs a byte"
        print(f"attack cost: {text} (bound {bound})")
        assert cost.microseconds <= bound, text


def _read_answers(data: bytes, bodiless: bool) -> tuple[list[Answer], bytes]:
    """The whole final answers at the start of `data`, and what is behind them."""
    answers = []
    while b"\r\n\r\n" in data:
        head, body = data.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.1 (\d{3}) .*", first)
        assert match, f"not an answer: {data[:200]!r}"
        fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        answer = Answer(int(match[1]), fields, b"")
        length = int((answer.all("content-length") or ["0"])[0])
        if bodiless or answer.status < 200:
            length = 0
        if len(body) < length:
            break
        answer.body, data = body[:length], body[length:]
        if answer.status >= 200:
            answers.append(answer)
    return answers, data
