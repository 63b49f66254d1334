"""What visitors behind Cloudflare see of an origin that is set up badly: the simulator of Cloudflare
(harness/cloudflare) must show each of the 52x pages for its cause, or its soak of a good setup
proves nothing. And what the simulator does must reach the gateway: its hellos, its header fields,
its 200 streams, its certificate."""

import asyncio
import itertools
import json
import random
import socket

import pytest
from harness import config as configs
from harness.clients import read_all, tcp
from harness.cloudflare import Edge, Times
from harness.cloudflare.hello import X25519, X25519MLKEM768, post_quantum_hello, server_hello
from harness.cloudflare.wire import SEGMENT
from harness.scripted import ScriptedOrigin

ADDRESSES = [f"127.77.{n}.{n + 7}" for n in range(12)]
# 900 s of Cloudflare's are 9 s here, its 120 s for an answer 3 s, its 30 s for a write 0.75 s.
TIMES = Times.scaled(idle=100, others=40)
HASTY = Times.scaled(idle=100, others=40, notice=60.0)  # as if closes took long to come to Cloudflare


def answer(_, request, __):
    """Twice what Cloudflare lets through in a response's head."""
    fields = "".join(f"x-{n}: {'x' * 8000}\r\n" for n in range(32)) if b"/large" in request else ""
    return f"HTTP/1.1 200 OK\r\n{fields}content-length: 0\r\n\r\n".encode(), True


@pytest.fixture(scope="module")
def gw(shared_gateway, origin, certs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("edge")
    scripted = ScriptedOrigin(answer)
    good = {"timeouts": {"idle": "9600ms"}}
    made = configs.basic([certs.localhost], [origin.endpoint()], folder, workers=2)
    made["address_sets"] = {"cloudflare": {"ranges": ["127.77.0.0/16"]}}
    made["trusted"] = good

    def listener(name, **more):
        return {"name": name, "address": "127.0.0.1:0", **more}

    made["listeners"] = [
        listener("https", allow=["cloudflare"]),
        listener("hasty", trusted={"timeouts": {"idle": "400ms"}}),
        listener("small", trusted={**good, "limits": {"header_bytes": "32KiB"}}),
        listener("office", allow=["192.0.2.0/24"]),
        listener("few", trusted={**good, "limits": {"requests_per_connection": 10}}),
    ]
    routes = [
        # The margin of the default, 90 s of 120 s, and a wait that is longer than Cloudflare's.
        {"match": {"path_prefix": "/delay/"}, "upstream": "web", "timeouts": {"first_byte": "2250ms"}},
        {"match": {"path_prefix": "/late/"}, "rewrite": {"prefix": "/delay/"}, "upstream": "web",
         "timeouts": {"first_byte": "30s"}},
        # Likewise 25 s of 30 s for an upload, and a tick of the gateway's timers, which is not scaled.
        {"match": {"path": "/upload"}, "upstream": "web", "timeouts": {"send": "500ms"}},
        {"match": {"path_prefix": "/late-upload"}, "rewrite": {"prefix": "/upload"}, "upstream": "web"},
        {"match": {"path_prefix": "/scripted/"}, "upstream": "scripted"},
        {"upstream": "web"},
    ]  # fmt: skip
    made["tls"] = {"policies": {
        "h2_alone": {"alpn": ["h2"]},
        "pulls": {"client_auth": {"mode": "require", "ca": str(certs.ca.pem)}},
    }}  # fmt: skip
    to_web = [{"upstream": "web"}]
    made["hosts"] = [
        configs.host("localhost", [certs.localhost], routes),
        configs.host("h2.test", [certs.ca.leaf("h2.test")], to_web, tls={"policy": "h2_alone"}),
        configs.host("pulls.test", [certs.ca.leaf("pulls.test")], to_web, tls={"policy": "pulls"}),
        configs.host("old.test", [certs.ca.leaf("old.test", end=-1)], to_web),
        configs.host("named.test", [certs.localhost], to_web),
    ]
    made["upstreams"]["scripted"] = {
        "endpoints": [scripted.endpoint],
        "limits": {"header_bytes": "1MiB", "header_count": 1000},
    }
    gateway = shared_gateway(made)
    gateway.folder = folder  # where the access log is
    yield gateway
    scripted.close()


@pytest.fixture(scope="module")
def edge_of(gw, certs):
    seeds = itertools.count(1)  # rays tell them apart

    def made(listener="https", sni="localhost", certificate=None, times=TIMES):
        return Edge(ADDRESSES, ("127.0.0.1", gw.port(listener)), sni, certs.ca.pem, certificate, times, next(seeds))

    return made


def ask(edge: Edge, *requests, twice: float | None = None, **more):
    """The outcomes of requests that are made at once; with `twice` of the last of them after that pause."""

    async def run():
        async with edge:
            outcomes = await asyncio.gather(*(edge.request(path=path, **more) for path in requests))
            if twice is not None:
                await asyncio.sleep(twice)  # an idle connection's age is what this is about
                outcomes.append(await edge.request(path=requests[-1], **more))
            return outcomes

    return asyncio.run(run())


def page(outcome):
    return outcome.code, outcome.cause


# ---- what is Cloudflare's reaches the gateway ----


@pytest.mark.parametrize("http", ["h2", "http/1.1"])
def test_its_requests_arrive_with_its_fields(gw, edge_of, http):
    outcome = ask(edge_of(), "/echo", http=http)[0]
    assert (outcome.code, outcome.status) == (0, 200), outcome
    fields = {}
    for name, value in json.loads(outcome.response.body)["headers"]:
        fields.setdefault(name.lower(), value)
    assert fields["cf-connecting-ip"] == fields["x-forwarded-for"] == outcome.visitor
    assert fields["cf-ray"] == outcome.ray and fields["cf-visitor"] == '{"scheme":"https"}'
    assert fields["cdn-loop"] == "cloudflare; loops=1" and "br" in fields["accept-encoding"]
    line = gw.wait_access(1, cf_ray=outcome.ray)[0]
    assert (line["client"], line["peer"]) == (outcome.visitor, outcome.source)
    assert line["proto"] == ("HTTP/2.0" if http == "h2" else "HTTP/1.1")


def test_two_hundred_streams_share_a_connection(edge_of):
    edge = edge_of()

    async def run():
        async with edge:
            await edge.request(source=ADDRESSES[0], path="/bytes/1")  # the SETTINGS have come
            await asyncio.gather(*(edge.request(source=ADDRESSES[0], path="/delay/300") for _ in range(200)))

    asyncio.run(run())
    assert not edge.pages() and len(edge.outcomes) == 201
    assert (edge.most_streams, edge.opened["all"]) == (200, 1)


def test_hellos_in_two_segments_of_the_size_of_a_post_quantum_one(gw, edge_of):
    name = "sallyport_tls_client_hello_segmented_total"
    before = gw.metrics().value(name)
    edge = edge_of()
    for http in ("h2", "http/1.1"):
        outcomes = [ask(edge, "/bytes/1", http=http, source=address)[0] for address in ADDRESSES]
        assert [page(outcome) for outcome in outcomes] == [(0, "")] * len(ADDRESSES)
    assert edge.opened["long hello"] >= 6 and edge.opened["resumed"] >= 3, edge.opened
    assert gw.metrics().value(name) > before


@pytest.mark.parametrize("cut", [5, 200, SEGMENT, 1400])
def test_a_post_quantum_key_share_needs_no_second_hello(gw, cut):
    """Made by hand, to the ServerHello: a HelloRetryRequest would cost a round trip of half the earth,
    and Cloudflare's scanner counts them."""
    hello = post_quantum_hello("localhost", random.Random(cut))
    assert 1450 < len(hello) < 1800
    with tcp_from(ADDRESSES[0], gw.port()) as connection:
        connection.sendall(hello[:cut])
        connection.sendall(hello[cut:])
        received = b""
        while (answered := server_hello(received)) is None:
            more = connection.recv(65536)
            assert more, received
            received += more
    assert not answered.retry and answered.version == 0x0304
    assert answered.group in (X25519MLKEM768, X25519)


def tcp_from(address, port):
    connection = socket.create_connection(("127.0.0.1", port), 10, (address, 0))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def test_origin_pulls_show_its_certificate(edge_of, certs):
    for http in ("h2", "http/1.1"):
        assert ask(edge_of(sni="pulls.test", certificate=certs.client), "/", http=http)[0].status == 200
        assert page(ask(edge_of(sni="pulls.test"), "/", http=http)[0]) == (520, "tls_alert")


# ---- what is set up badly is seen ----


def test_a_port_on_which_nobody_listens(edge_of, refused_port):
    edge = edge_of()
    edge.target = ("127.0.0.1", refused_port)
    assert page(ask(edge, "/")[0]) == (521, "refused")


def test_addresses_that_are_not_let_in(gw, edge_of):
    """`allow` without cloudflare; the gateway knows what the visitor sees."""
    before = gw.metrics().value("sallyport_cf_risk_total", code="521", cause="refused")
    assert page(ask(edge_of("office"), "/")[0]) == (521, "closed_at_accept")
    assert gw.metrics().value("sallyport_cf_risk_total", code="521", cause="refused") == before + 1


@pytest.mark.parametrize("sni,code,cause", [
    ("old.test", 526, "certificate"),
    ("named.test", 526, "certificate"),
    ("unknown.test", 525, "handshake"),
])  # fmt: skip
def test_certificates_that_are_not_good_enough(edge_of, sni, code, cause):
    assert page(ask(edge_of(sni=sni), "/")[0]) == (code, cause)


def test_a_websocket_where_alpn_has_h2_alone(edge_of):
    async def run(edge):
        async with edge:
            return await edge.websocket("/ws", 3)

    assert page(asyncio.run(run(edge_of()))) == (0, "")
    assert page(asyncio.run(run(edge_of(sni="h2.test")))) == (525, "handshake")


def test_an_origin_that_closes_first(edge_of):
    """An idle time below Cloudflare's: what it reuses is gone. With ours it is not."""
    first, again = ask(edge_of("hasty", times=HASTY), "/bytes/1", http="http/1.1", source=ADDRESSES[1], twice=1.5)
    assert page(first) == (0, "") and page(again) == (520, "closed_idle")
    first, again = ask(edge_of(times=HASTY), "/bytes/1", http="http/1.1", source=ADDRESSES[1], twice=1.5)
    assert page(again) == (0, "") and again.reused


def test_an_origin_that_closes_first_is_seen_by_its_closes(edge_of):
    for http in ("h2", "http/1.1"):
        edge = edge_of("hasty")
        ask(edge, "/bytes/1", http=http, twice=1.5)
        assert [closing.http for closing in edge.closings] == [http]
        assert edge.closings[0].idle < TIMES.idle


@pytest.mark.parametrize("http", ["h2", "http/1.1"])
def test_an_answer_that_takes_too_long(gw, edge_of, http):
    """Ours comes first; where a route waits longer than Cloudflare, its own does."""
    ours, theirs = ask(edge_of(), "/delay/60000", "/late/60000", http=http)
    assert page(ours) == (0, "") and ours.status == 504
    assert page(theirs) == (524, "read_timeout")
    assert gw.wait_access(1, cf_ray=ours.ray)[0]["cf_risk"] == "524"


@pytest.mark.parametrize("http", ["h2", "http/1.1"])
def test_an_upload_that_an_upstream_does_not_take(gw, edge_of, http):
    """The same: ours comes first, unless the route lets an upstream be for longer."""
    upload = {"http": http, "method": "POST", "body": bytes(32_000_000)}
    ours = ask(edge_of(), "/upload?pause=3000", **upload)[0]
    assert page(ours) == (0, "") and ours.status == 504
    line = gw.wait_access(1, cf_ray=ours.ray)[0]
    assert (line["cf_risk"], line["reason"], line["error"]) == ("524", "upstream_timeout", "body_timeout")
    theirs = ask(edge_of(), "/late-upload?pause=3000", **upload)[0]
    assert page(theirs) == (524, "write_stalled")


@pytest.mark.parametrize("http", ["h2", "http/1.1"])
def test_heads_that_are_too_large(edge_of, http):
    assert page(ask(edge_of(), "/scripted/large", http=http)[0]) == (520, "headers_too_large")
    long = [(f"x-{n}", "x" * 4000) for n in range(25)]
    assert ask(edge_of(), "/echo", http=http, headers=long)[0].status == 200
    refused = ask(edge_of("small"), "/echo", http=http, headers=long)[0]
    assert (refused.code, refused.status) == (0, 431)


@pytest.mark.parametrize("http", ["h2", "http/1.1"])
def test_half_an_answer(edge_of, http):
    """Over h2 the reset may overtake the head."""
    code, cause = page(ask(edge_of(), "/short/2000000", http=http)[0])
    assert code == 520 and cause in ("cut_off", "stream_reset")


@pytest.mark.parametrize("http", ["h2", "http/1.1"])
def test_a_limit_of_requests_costs_connections_and_no_page(edge_of, http):
    edges = [edge_of(name) for name in ("https", "few")]

    async def run(edge):
        async with edge:
            for _ in range(35):
                await edge.request(path="/bytes/1", http=http, source=ADDRESSES[2])

    for edge in edges:
        asyncio.run(run(edge))
        assert not edge.pages()
    assert [edge.opened["all"] for edge in edges] == [1, 4]
