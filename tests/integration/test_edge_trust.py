"""Behind Cloudflare: who may connect at all, who is believed about the client, on which terms, and
what of it reaches routes, logs, limits and upstreams. Addresses of 127/8 play Cloudflare (.2), an
office (.3), a balancer that sends PROXY headers (.5) and strangers (.9)."""

import json
import socket

import pytest
from harness import config as configs
from harness.process import wait_until

CLOUDFLARE, OFFICE, BALANCER, STRANGER = "127.0.0.2", "127.0.0.3", "127.0.0.5", "127.0.0.9"
REJECTED, SOURCES = "sallyport_listener_rejected_total", "sallyport_client_ip_source_total"


def listener(name, **more):
    return {"name": name, "protocol": "http", "address": "127.0.0.1:0", **more}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("edge")


def made_config(certs, endpoint, refused, folder):
    lists = folder / "cloudflare.txt"
    if not lists.exists():
        lists.write_text(f"# Cloudflare's\n{CLOUDFLARE}/32\n")
    made = configs.basic([certs.localhost], [endpoint], folder)
    made["address_sets"] = {
        "cloudflare": {"ranges": [f"{CLOUDFLARE}/32"]},
        "office": {"ranges": [f"{OFFICE}/32"]},
        "listed": {"files": [str(lists)], "refresh": "50ms"},
    }
    made["limits"] = {"url": "2KiB", "requests_per_connection": 2, "exempt_addresses": []}
    made["trusted"] = {"limits": {"url": "4KiB"}}
    made["listeners"] = [
        {"name": "https", "address": "127.0.0.1:0", "allow": ["cloudflare", "127.0.0.1"]},
        listener("open"),
        listener("fenced", allow=["cloudflare", "office"], trust=["cloudflare", "office"]),
        listener("forwarded", trust=["office", "10.0.0.0/8"], client_address="x_forwarded_for"),
        listener("balanced", allow=["cloudflare"], proxy_protocol={"from": [f"{BALANCER}/32"]}),
        listener("listed", allow=["listed"]),
    ]
    reply = {"status": 200, "body": "from Austria"}
    made["hosts"][0]["routes"] = [
        {"match": {"headers": {"cf-ipcountry": "AT"}}, "reply": reply},
        {"match": {"path": "/limited"}, "reply": {"status": 204}, "rate_limit": {"requests": 1, "per": "1h"}},
        {"match": {"path_prefix": "/gone/"}, "upstream": "gone"},
        {"upstream": "web"},
    ]
    made["upstreams"]["gone"] = {"endpoints": [f"127.0.0.1:{refused}"], "retries": {"count": 0}}
    return made


@pytest.fixture(scope="module")
def gw(shared_gateway, origin, certs, folder):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: connections to it are refused
        gateway = shared_gateway(made_config(certs, origin.endpoint(), nobody.getsockname()[1], folder))
        gateway.lists, gateway.folder = folder, folder
        yield gateway


def ask(gw, name, source, target="/echo", headers=(), before=b"", keep=None):
    """(status, head, body) of one request from that address; (None, …) if closed without a word."""
    connection = keep or socket.create_connection(("127.0.0.1", gw.port(name)), 10, (source, 0))
    lines = [f"GET {target} HTTP/1.1", "Host: localhost", *headers]
    if not keep:
        lines.append("Connection: close")
    received = b""
    try:
        connection.sendall(before + "\r\n".join(lines).encode() + b"\r\n\r\n")
        while more := connection.recv(65536):
            received += more
            head, found, body = received.partition(b"\r\n\r\n")
            if keep and found and len(body) >= length_of(head):
                break
    except (ConnectionResetError, BrokenPipeError):
        pass
    if not keep:
        connection.close()
    if not received:
        return None, "", ""
    head, _, body = received.decode().partition("\r\n\r\n")
    return int(head.split()[1]), head.lower(), body


def length_of(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":")[1])
    return 0


def seen(gw, name, source, headers=(), **more):
    """The fields that the upstream got."""
    status, _, body = ask(gw, name, source, "/echo", headers, **more)
    assert status == 200, body
    return [(name.lower(), value) for name, value in json.loads(body)["headers"]]


# ---- who may connect ----


@pytest.mark.parametrize("source,served", [(CLOUDFLARE, True), (OFFICE, True), (STRANGER, False), ("127.0.0.1", False)])
def test_a_listener_allows_its_sets_alone(gw, source, served):
    before = gw.metrics().value(REJECTED, listener="fenced", reason="not_allowed")
    assert ask(gw, "fenced", source)[0] == (200 if served else None)
    assert gw.metrics().value(REJECTED, listener="fenced", reason="not_allowed") - before == (0 if served else 1)


def test_who_is_not_allowed_costs_no_tls(gw):
    """Closed before a byte of crypto: not even a handshake that failed is counted."""
    before = gw.metrics()
    with socket.create_connection(("127.0.0.1", gw.port("https")), 10, (STRANGER, 0)) as connection:
        try:
            assert connection.recv(1) == b""
        except ConnectionResetError:
            pass
    gw.wait_metric(REJECTED, before.value(REJECTED, listener="https", reason="not_allowed") + 1,
                   listener="https", reason="not_allowed")  # fmt: skip
    after = gw.metrics()
    for name in ("sallyport_tls_handshake_failures_total", "sallyport_tls_handshake_cpu_seconds_total"):
        assert sum(v for _, v in after.samples(name)) == sum(v for _, v in before.samples(name)), name


def test_behind_a_balancer_the_client_that_it_names_is_asked_for(gw):
    def header(client):
        return f"PROXY TCP4 {client} 127.0.0.1 1234 80\r\n".encode()

    assert ask(gw, "balanced", BALANCER, before=header(CLOUDFLARE))[0] == 200
    assert ask(gw, "balanced", BALANCER, before=header(STRANGER))[0] is None
    assert ask(gw, "balanced", CLOUDFLARE)[0] == 200


# ---- on which terms ----


def test_trusted_peers_have_limits_of_their_own(gw):
    """One listener: 2 KiB of URL for anybody, 4 KiB for Cloudflare."""
    target = "/" + "x" * 3000
    assert ask(gw, "open", CLOUDFLARE, target)[0] == 200
    assert ask(gw, "open", STRANGER, target)[0] == 414
    assert ask(gw, "open", CLOUDFLARE, "/" + "x" * 5000)[0] == 414


def test_connections_of_trusted_peers_are_not_closed_after_so_many_requests(gw):
    for source, most in ((CLOUDFLARE, 6), (STRANGER, 2)):
        with socket.create_connection(("127.0.0.1", gw.port("open")), 10, (source, 0)) as connection:
            closes = ["connection: close" in ask(gw, "open", source, keep=connection)[1] for _ in range(most)]
        assert closes == [False] * most if source == CLOUDFLARE else closes == [False, True]


def test_connections_are_counted_by_who_the_peer_is(gw):
    name = "sallyport_listener_connections_total"
    before = gw.metrics()
    for source in (CLOUDFLARE, OFFICE):
        ask(gw, "fenced", source)
    after = gw.metrics()
    for kind in ("cloudflare", "trusted"):
        assert after.value(name, listener="fenced", peer=kind) - before.value(name, listener="fenced", peer=kind) == 1
    wait_until(lambda: gw.metrics().value("sallyport_listener_connections", listener="fenced") == 0, "all closed",
               process=gw)  # fmt: skip


# ---- whose word is taken ----

CLAIMS = ["CF-Connecting-IP: 203.0.113.7", "CF-IPCountry: DE", 'CF-Visitor: {"scheme":"http"}', "CF-Ray: 8f-VIE",
          "True-Client-IP: 203.0.113.8", "CF-Worker: example.com"]  # fmt: skip


def test_cloudflare_is_believed(gw):
    before = gw.metrics().value(SOURCES, source="cf_connecting_ip", verdict="used")
    fields = dict(seen(gw, "open", CLOUDFLARE, CLAIMS))
    assert fields["x-forwarded-for"] == "203.0.113.7"
    assert fields["x-forwarded-proto"] == "http"
    assert fields["cf-ray"] == "8f-VIE" and fields["cf-worker"] == "example.com"
    assert fields["cf-connecting-ip"] == "203.0.113.7"
    assert gw.metrics().value(SOURCES, source="cf_connecting_ip", verdict="used") == before + 1
    line = gw.wait_access(1, cf_ray="8f-VIE")[-1]
    assert (line["client"], line["peer"], line["country"], line["visitor_scheme"]) == (
        "203.0.113.7", CLOUDFLARE, "DE", "http")  # fmt: skip


def test_nobody_else_is(gw):
    before = gw.metrics().value(SOURCES, source="cf_connecting_ip", verdict="stripped_untrusted")
    fields = seen(gw, "open", STRANGER, [*CLAIMS, "CF-Made-Up: x", "cf-RAY: 2", "X-Forwarded-For: 203.0.113.9"])
    assert [n for n, _ in fields if n.startswith("cf-") or n == "true-client-ip"] == []
    assert dict(fields)["x-forwarded-for"] == STRANGER and dict(fields)["x-forwarded-proto"] == "http"
    assert gw.metrics().value(SOURCES, source="cf_connecting_ip", verdict="stripped_untrusted") == before + 1
    assert "cf_ray" not in gw.wait_access(1, client=STRANGER)[-1]


def test_routes_see_the_country_of_cloudflare_alone(gw):
    assert ask(gw, "open", CLOUDFLARE, headers=["CF-IPCountry: AT"])[2] == "from Austria"
    assert ask(gw, "open", STRANGER, headers=["CF-IPCountry: AT"])[2] != "from Austria"


@pytest.mark.parametrize("headers", [
    ["CF-Connecting-IP: nonsense"], ["CF-Connecting-IP: 203.0.113.7", "CF-Connecting-IP: 203.0.113.8"],
    ["CF-Connecting-IP: 203.0.113.7, 203.0.113.8"], ["CF-Connecting-IP: "], [],
])  # fmt: skip
def test_what_is_no_address_leaves_the_peers(gw, headers):
    assert dict(seen(gw, "open", CLOUDFLARE, headers))["x-forwarded-for"] == CLOUDFLARE


def test_ipv6_clients(gw):
    told = dict(seen(gw, "open", CLOUDFLARE, ["CF-Connecting-IP: 2001:DB8:0::1"]))
    assert told["x-forwarded-for"] == "2001:db8::1"


@pytest.mark.parametrize("value,client", [
    ("203.0.113.7", "203.0.113.7"),
    ("6.6.6.6, 203.0.113.7", "203.0.113.7"),                    # what it appended counts, not what it was told
    ("6.6.6.6, 203.0.113.7, 10.1.2.3", "203.0.113.7"),          # over those that are trusted
    ("203.0.113.7, 10.1.2.3, 10.9.9.9", "203.0.113.7"),
    ("203.0.113.7:4711", "203.0.113.7"),
    ("[2001:db8::1]:4711", "2001:db8::1"),
    ("6.6.6.6, unknown, 10.1.2.3", "10.1.2.3"),                 # behind what is no address nothing is believed
    ("10.1.2.3, 10.1.2.4", "10.1.2.3"),
    ("unknown", OFFICE),
    ("", OFFICE),
])  # fmt: skip
def test_x_forwarded_for_is_read_from_the_right(gw, value, client):
    fields = dict(seen(gw, "forwarded", OFFICE, [f"X-Forwarded-For: {value}"]))
    assert fields["x-forwarded-for"] == client


def test_several_fields_are_one_list(gw):
    fields = dict(seen(gw, "forwarded", OFFICE, ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 203.0.113.7",
                                                 "X-Forwarded-For: 10.1.2.3"]))  # fmt: skip
    assert fields["x-forwarded-for"] == "203.0.113.7"


def test_rate_limits_count_the_client_and_not_cloudflare(gw):
    def status(client):
        return ask(gw, "open", CLOUDFLARE, "/limited", [f"CF-Connecting-IP: {client}"])[0]

    assert [status("203.0.113.1"), status("203.0.113.1"), status("203.0.113.2")] == [204, 429, 204]


# ---- loops ----


def test_the_loop_field_is_appended_for_trusted_peers(gw):
    fields = seen(gw, "open", CLOUDFLARE, ["CDN-Loop: cloudflare; loops=1"])
    assert [v for n, v in fields if n == "cdn-loop"] == ["cloudflare; loops=1", "sallyport"]


@pytest.mark.parametrize("field,status", [
    ("cloudflare, sallyport, sallyport", 200),
    ("cloudflare, sallyport, Sallyport; x=1, sallyport", 508),
    ("sallyports, sallyport.example, x-sallyport", 200),
])  # fmt: skip
def test_a_request_that_came_by_too_often_is_refused(gw, field, status):
    assert ask(gw, "open", CLOUDFLARE, headers=[f"CDN-Loop: {field}"])[0] == status


# ---- we answer first ----


def test_a_failing_upstream_is_told_before_cloudflare_tells_it(gw):
    risk = {"code": "521", "cause": "upstream_refused"}
    before = gw.metrics().value("sallyport_cf_risk_total", **risk)
    status, head, body = ask(gw, "open", CLOUDFLARE, "/gone/x", ["CF-Ray: 8f-GONE"])
    assert status == 502
    assert 'proxy-status: sallyport; error=connection_refused; details="upstream_connect: connect_refused"' in head
    assert "upstream_connect" in body and "cf-ray 8f-GONE" in body
    assert gw.wait_access(1, cf_ray="8f-GONE")[-1]["cf_risk"] == "521"
    assert gw.metrics().value("sallyport_cf_risk_total", **risk) == before + 1
    assert ask(gw, "open", STRANGER, "/gone/x")[0] == 502
    assert gw.metrics().value("sallyport_cf_risk_total", **risk) == before + 1, "of Cloudflare's visitors alone"


def test_a_handshake_of_cloudflares_that_fails_is_a_525(gw):
    before = gw.metrics().value("sallyport_cf_risk_total", code="525", cause="handshake")
    with socket.create_connection(("127.0.0.1", gw.port("https")), 10, (CLOUDFLARE, 0)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        while connection.recv(4096):
            pass
    gw.wait_metric("sallyport_cf_risk_total", before + 1, code="525", cause="handshake")


# ---- files of ranges ----


def ranges(gw, name="listed"):
    return gw.metrics().value("sallyport_trusted_ranges", set=name)


def test_a_file_is_read_again_and_what_is_broken_never_replaces_what_was_good(gw):
    lists = gw.lists / "cloudflare.txt"

    def publish(text):
        fresh = lists.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(lists)

    def refused(word):
        wait_until(lambda: word in gw.log(), f"a warning of {word}", process=gw)

    assert ask(gw, "listed", CLOUDFLARE)[0] == 200 and ask(gw, "listed", STRANGER)[0] is None
    publish(f"{CLOUDFLARE}/32\n{STRANGER}\n10.0.0.0/8\n2001:db8::/32")  # no newline at the end, as published
    wait_until(lambda: ranges(gw) == 4, "four ranges", process=gw)
    assert ask(gw, "listed", STRANGER)[0] == 200
    for broken, word in (
        ("", "no address range"),
        (f"{CLOUDFLARE}/33\n", "line 1"),
        ("<html>not found</html>", "<html>"),
        ('{"success": false, "errors": []}', "success: false"),
        (f"{CLOUDFLARE}/32\n", "less than half"),
    ):
        publish(broken)
        refused(word)
        assert ranges(gw) == 4 and ask(gw, "listed", STRANGER)[0] == 200
    lists.unlink()
    refused("cannot be read")
    assert ask(gw, "listed", STRANGER)[0] == 200
    publish(json.dumps({"success": True, "result": {"ipv4_cidrs": [f"{CLOUDFLARE}/32", "192.0.2.0/24"],
                                                    "ipv6_cidrs": ["2001:db8::/32"]}}))  # fmt: skip
    wait_until(lambda: ranges(gw) == 3, "the API's three", process=gw)
    assert ask(gw, "listed", STRANGER)[0] is None and ask(gw, "listed", CLOUDFLARE)[0] == 200


def test_a_set_that_is_not_there_is_told(gateway, certs, origin, tmp_path):
    made = configs.basic([certs.localhost], [origin.endpoint()], tmp_path)
    made["listeners"][1]["allow"] = ["cloudfare"]
    log = gateway(made, ready=False).expect_exit(1)
    assert 'no address set is named "cloudfare": did you mean "cloudflare"?' in log
