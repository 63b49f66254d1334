"""How long Cloudflare waits, what it adds to a request, and what it shows a visitor when the
origin fails: its documentation of connection limits, request headers and 5xx errors."""

import dataclasses
import ipaddress
import json

STREAMS = 200  # at once on a connection to an origin
HEADER_BYTES = 128 * 1024  # of a response

# TLS 1.2, in its order; of TLS 1.3 it offers what OpenSSL does. It has no ChaCha20 for TLS 1.2.
CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-SHA:AES128-GCM-SHA256:AES128-SHA:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-SHA384:AES256-SHA"
)


@dataclasses.dataclass(frozen=True)
class Times:
    """Seconds."""

    connect: float = 19.0  # TCP: 522; the handshake after it, as long again: 525
    read: float = 120.0  # without a byte of the response: 524
    write: float = 30.0  # without a byte taken: 524
    idle: float = 900.0  # a connection is kept for
    probe: tuple[float, float, int] = (30.0, 15.0, 2)  # TCP keep-alive: silence, between probes, unanswered ones
    # A close is not seen before it has come here: until then a connection that is gone is reused.
    notice: float = 0.0

    @classmethod
    def scaled(cls, idle: float, others: float, notice: float = 0.0) -> "Times":
        """Idle connections and the waits within an exchange may be shortened by different numbers: the
        gateway's margin is 60 s of 900, and 30 s of 120. TCP's probes are whole seconds."""
        silence, between, count = cls.probe
        probe = (max(1.0, silence / others), max(1.0, between / others), count)
        return cls(cls.connect / others, cls.read / others, cls.write / others, cls.idle / idle, probe, notice)


class Failed(Exception):
    """An exchange that ends in a page of Cloudflare's: 52x."""

    def __init__(self, code: int, cause: str, detail: object = ""):
        super().__init__(f"{code} {cause} {detail}".rstrip())
        self.code, self.cause, self.detail = code, cause, str(detail)


class Unprocessed(Exception):
    """The origin says that it has not begun with the request (RFC 9113 §8.7): sent once more."""


@dataclasses.dataclass
class Response:
    status: int = 0
    headers: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    body: bytearray = dataclasses.field(default_factory=bytearray)
    trailers: list[tuple[str, str]] = dataclasses.field(default_factory=list)

    def header(self, name: str) -> str | None:
        values = [value for key, value in [*self.headers, *self.trailers] if key.lower() == name]
        return ", ".join(values) if values else None


@dataclasses.dataclass
class Request:
    method: str
    path: str
    authority: str
    headers: list[tuple[str, str]]
    body: bytes | None = None


@dataclasses.dataclass
class Outcome:
    """`code` 0: the visitor got the origin's answer, whatever its status. Otherwise the page's number."""

    ray: str
    visitor: str
    source: str
    http: str
    path: str
    code: int = 0
    cause: str = ""
    detail: str = ""
    status: int = 0
    response: Response | None = None
    reused: bool = False  # a connection that had served before
    resent: int = 0  # because the origin had not begun with it


@dataclasses.dataclass(frozen=True)
class Closing:
    """A connection that the origin ended while no request was on it."""

    http: str
    source: str
    idle: float  # seconds since its last response
    served: int
    told: bool  # by GOAWAY or Connection: close before


@dataclasses.dataclass(frozen=True)
class Visit:
    """A visitor's request as it came to the edge."""

    visitor: str
    country: str
    ray: str
    scheme: str = "https"
    forwarded_for: str = ""  # what the visitor claimed itself
    agent: str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"

    @classmethod
    def drawn(cls, random, colo: str = "VIE") -> "Visit":
        if random.random() < 0.3:
            visitor = ipaddress.IPv6Address((0x20010DB8 << 96) | random.getrandbits(64))
        else:
            visitor = ipaddress.IPv4Address("203.0.113.0") + random.randrange(256)
        return cls(str(visitor), random.choice(("AT", "DE", "US", "T1")), f"{random.getrandbits(64):016x}-{colo}",
                   forwarded_for=random.choice(("", "", "10.1.2.3")))  # fmt: skip

    def headers(self) -> list[tuple[str, str]]:
        chain = f"{self.forwarded_for}, {self.visitor}" if self.forwarded_for else self.visitor
        return [
            ("accept-encoding", "gzip, br"),
            ("cf-ray", self.ray),
            ("x-forwarded-for", chain),
            ("x-forwarded-proto", self.scheme),
            ("cf-visitor", json.dumps({"scheme": self.scheme}, separators=(",", ":"))),
            ("cf-connecting-ip", self.visitor),
            ("cf-ipcountry", self.country),
            ("cdn-loop", "cloudflare; loops=1"),
            ("user-agent", self.agent),
        ]
