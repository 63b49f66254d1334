"""`sallyport explain` says of a captured hello what the running gateway then really does with it, and of log
lines what they mean and whether the configuration at hand would still fail such clients."""

import json
import ssl
import struct

import pytest
from harness import config
from harness.clients import run, tcp, tls_context
from harness.gateway import Gateway
from harness.handshake import Handshake, alert, records
from harness.process import wait_until

V12 = ssl.TLSVersion.TLSv1_2


def policies(certs) -> dict:
    return {
        "default": {
            "groups": ["X25519", "P-256"],
            "rules": [
                {"name": "outside", "when": {"addresses": ["192.0.2.0/24"]}, "refuse": True},
                {"name": "old", "when": {"versions": {"none": ["1.3"]}}, "policy": "compatible"},
            ],
        },
        "compatible": {"max_version": "1.2", "ciphers": ["ECDHE-ECDSA-AES256-GCM-SHA384"]},
        "modern": {"profile": "modern", "alpn": ["h2"]},
        "mtls": {"client_auth": {"mode": "require", "ca": str(certs.ca.pem)}},
    }


@pytest.fixture(scope="module")
def gw(binary, certs, origin, tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain")
    made = config.basic([certs.localhost], [origin.endpoint()], folder, log={"format": "json"})
    made["tls"] = {"policies": policies(certs)}
    made["hosts"] = [config.host(f"{name}.test", [certs.ca.leaf(f"{name}.test")], [{"upstream": "web"}],
                                 tls={"policy": policy})
                     for name, policy in (("a", "default"), ("modern", "modern"), ("mtls", "mtls"))]  # fmt: skip
    process = Gateway(binary, made, folder).wait_ready()
    process.made = made
    yield process
    process.stop()


def explain(binary, file, *arguments, stdin=b"") -> dict:
    done = run(binary, "explain", file, "--json", *arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def lines_of(gw, after: int = 0) -> list[str]:
    return [line for line in gw.log()[after:].splitlines(keepends=True)
            if line.endswith("\n") and '"handshake_failed"' in line]  # fmt: skip


def hello(certs, sni="a.test", curve=None, **context) -> Handshake:
    made = tls_context(certs.ca.pem, **context)
    if curve:
        made.set_ecdh_curve(curve)
    return Handshake(made, sni=sni)


# Name → what a real client sends: (server name, options of its context).
CLIENTS = {
    "new": ("a.test", {}),
    "old": ("a.test", {"maximum": V12}),
    "old-without-its-suite": ("a.test", {"maximum": V12, "ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256"}),
    "odd-group": ("a.test", {"curve": "secp521r1"}),
    "retried": ("a.test", {"curve": "prime256v1"}),
    "nobody": ("nobody.test", {}),
    "nameless": (None, {}),
    "modern": ("modern.test", {}),
    "modern-http1": ("modern.test", {"alpn": ("http/1.1",)}),
    "modern-old": ("modern.test", {"maximum": V12}),
    "mtls": ("mtls.test", {}),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_what_is_told_of_a_hello_is_what_the_gateway_does_with_it(binary, gw, certs, tmp_path, client):
    sni, options = CLIENTS[client]
    context = {key: value for key, value in options.items() if key != "curve"}
    if sni is None:
        made = tls_context(certs.ca.pem, **context)
        made.check_hostname = False
        shake = Handshake(made, sni=None)
    else:
        shake = hello(certs, sni, options.get("curve"), **context)
    file = tmp_path / "hello.bin"
    file.write_bytes(shake.hello)
    told = explain(binary, file, "-c", gw.config_file)["outcome"]
    mark = len(gw.log())
    with tcp(gw.port()) as connection:
        connection.sendall(shake.hello)
        answer = connection.recv(65536)
    if told["refused"]:
        line = json.loads(wait_until(lambda: lines_of(gw, mark), "its line", process=gw)[0])
        named = {"reason": "reason", "stage": "stage", "hint": "hint", "alert": "alert_sent", "host": "host",
                 "policy": "policy", "rule": "rule"}  # fmt: skip
        assert {key: told[key] or "" for key in named} == {key: line[field] for key, field in named.items()}
        assert alert(answer) is not None
        return
    kind, first = records(answer)[0]
    assert (kind, first[0]) == (22, 2), "a ServerHello"
    session = first[38]
    suite = first[39 + session : 41 + session]
    names = {"TLS_AES_128_GCM_SHA256": b"\x13\x01", "ECDHE-ECDSA-AES256-GCM-SHA384": b"\xc0\x2c"}
    assert names[told["cipher"]] == suite
    assert told["hello_retry"] == (first[6:10] == bytes.fromhex("cf21ad74"))
    assert told["version"] == ("TLSv1.2" if client == "old" else "TLSv1.3")
    assert told["policy"] == {"old": "compatible", "modern": "modern", "mtls": "mtls"}.get(client, "default")
    assert bool(told["client_certificate"]) == (client == "mtls")


def test_a_real_handshake_goes_as_it_was_told(binary, gw, certs, tmp_path):
    shake = hello(certs, alpn=("h2", "http/1.1"))
    told = explain(binary, "-", "-c", gw.config_file, stdin=shake.hello)["outcome"]
    with tcp(gw.port()) as connection:
        connection.sendall(shake.hello)
        shake.finish(connection)
        assert (shake.tls.version(), shake.tls.cipher()[0], shake.tls.selected_alpn_protocol()) == (
            told["version"], told["cipher"], told["alpn"])  # fmt: skip


def packet(sequence: int, payload: bytes, flags: int = 24, client="192.0.2.7", port=443) -> bytes:
    tcp_header = struct.pack("!HHIIBBHHH", 51000, port, sequence, 0, 5 << 4, flags, 65535, 0, 0)
    size = 40 + len(payload)
    address = bytes(map(int, client.split(".")))
    ip_header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, size, 1, 0, 64, 6, 0, address, bytes([198, 51, 100, 1]))
    return bytes(12) + b"\x08\x00" + ip_header + tcp_header + payload


def pcap(*packets: bytes) -> bytes:
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    return header + b"".join(struct.pack("<IIII", 0, 0, len(p), len(p)) + p for p in packets)


def test_every_form_of_a_capture_says_the_same(binary, certs, tmp_path):
    data = hello(certs).hello
    dump = run("xxd", stdin=data).stdout if run("sh", "-c", "command -v xxd").returncode == 0 else data.hex(" ")
    packets = [packet(999, b"", 2), packet(1300, data[300:]), packet(1000, data[:300]), packet(1000, data[:300])]
    forms = {"bytes": data, "message": data[5:], "dump": dump.encode(), "digits": data.hex().encode(),
             "pcap": pcap(*packets)}  # fmt: skip
    told = {}
    for name, content in forms.items():
        file = tmp_path / name
        file.write_bytes(content)
        told[name] = explain(binary, file)["offer"]
    assert told["pcap"]["client"] == "192.0.2.7:51000" and told["pcap"]["server"] == "198.51.100.1:443"
    same = [{key: offer[key] for key in ("sni", "ciphers", "groups", "alpn", "ja3", "ja4")} for offer in told.values()]
    assert all(offer == same[0] for offer in same)
    assert same[0]["sni"] == "a.test" and same[0]["ja4"].startswith("t13d")


def test_the_capture_s_client_meets_the_rules_unless_another_is_given(binary, gw, certs, tmp_path):
    file = tmp_path / "hello.pcap"
    file.write_bytes(pcap(packet(1, hello(certs).hello)))
    told = explain(binary, file, "-c", gw.config_file)["outcome"]
    assert (told["reason"], told["rule"], told["alert"]) == ("refused_by_rule", "outside", "access_denied")
    assert not explain(binary, file, "-c", gw.config_file, "--client", "203.0.113.1")["outcome"]["refused"]
    other = explain(binary, file, "-c", gw.config_file, "--client", "203.0.113.1", "--sni", "nobody.test")["outcome"]
    assert other["reason"] == "unknown_sni" and "'nobody.test'" in other["hint"]
    text = run(binary, "explain", file, "-c", gw.config_file, "--listener", "https").stdout
    assert "outcome         refused: refused_by_rule (cert_select)" in text and "rule outside of policy default" in text


def test_log_lines_are_grouped_with_cause_and_remedy(binary, gw, certs, tmp_path):
    mark = len(gw.log())
    for name in ("old-without-its-suite", "old-without-its-suite", "odd-group", "nobody"):
        sni, options = CLIENTS[name]
        context = {key: value for key, value in options.items() if key != "curve"}
        with tcp(gw.port()) as connection:
            connection.sendall(hello(certs, sni, options.get("curve"), **context).hello)
            connection.recv(65536)
    lines = wait_until(lambda: len(found := lines_of(gw, mark)) >= 4 and found, "4 lines", process=gw)
    log = tmp_path / "gateway.log"
    log.write_text("something else\n" + "".join(f"pod-1 {line}" for line in lines))
    told = explain(binary, log, "-c", gw.config_file)
    reasons = {group["reason"]: group for group in told["reasons"]}
    assert told["lines"] == 4 and told["unread"] == 0
    assert {reason: group["lines"] for reason, group in reasons.items()} == {
        "no_shared_cipher": 2, "no_shared_group": 1, "unknown_sni": 1}  # fmt: skip
    assert told["reasons"][0]["reason"] == "no_shared_cipher" and reasons["no_shared_group"]["remedy"]
    assert reasons["no_shared_cipher"]["clients"] == [{"client": "127.0.0.1", "lines": 2}]
    now = {reason: group["now"][0]["outcome"] for reason, group in reasons.items()}
    assert all(outcome.startswith(f"still {reason}: ") for reason, outcome in now.items()), now
    # … and not under a configuration that was put right.
    changes = {"default": {"groups": ["X25519", "P-256", "P-521"]},
               "compatible": {"ciphers": ["ECDHE-ECDSA-AES128-GCM-SHA256"]}}  # fmt: skip
    better = config.merged(gw.made, {"tls": {"policies": changes}})
    better["hosts"][0]["names"].append("nobody.test")
    (tmp_path / "better.yaml").write_text(json.dumps(better))
    told = explain(binary, log, "-c", tmp_path / "better.yaml")
    assert all(group["now"][0]["outcome"].startswith("no longer refused: host a.test") for group in told["reasons"])
    text = run(binary, "explain", "-", stdin=log.read_bytes()).stdout
    assert "4 failed handshakes in the log, of 3 reasons" in text and "no_shared_cipher: 2 lines" in text


def test_lines_of_the_text_format_are_read_too(binary, tmp_path):
    log = tmp_path / "text.log"
    log.write_text('2026-05-04T10:11:12.131415Z warn handshake_failed reason="peer_alert_unknown_ca" stage="finished" '
                   'hint="the client does not know the CA of \\"x\\"" client="192.0.2.7:1" held_back=7\n')  # fmt: skip
    group = explain(binary, log)["reasons"][0]
    assert (group["reason"], group["held_back"]) == ("peer_alert_unknown_ca", 7)
    assert group["hints"][0]["hint"] == 'the client does not know the CA of "x"'


@pytest.mark.parametrize("content, words", [
    (b"", "it is empty"),
    (b"GET / HTTP/1.1\r\n\r\n", "no hexadecimal digit"),
    (b"\x16\x03\x01\x02\x00\x01", "the ClientHello is not whole"),
    (b"\x00\x01\x02\x03\x04\x05\x06\x07", "it is no TLS record"),
    (b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00", "cut off within the header of pcap"),
    (b'{"event":"handshake_failed"}', "no handshake_failed line can be read"),
])  # fmt: skip
def test_what_cannot_be_read_is_told_in_one_line(binary, tmp_path, content, words):
    file = tmp_path / "odd"
    file.write_bytes(content)
    done = run(binary, "explain", file)
    assert done.returncode == 1 and words in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_wrong_usage_is_told(binary, gw, tmp_path):
    file = tmp_path / "hello"
    file.write_bytes(b"\x16")
    assert run(binary, "explain").returncode == 2
    done = run(binary, "explain", file, "-c", gw.config_file, "--listener", "htps")
    assert done.returncode == 2 and 'did you mean "https"' in done.stderr
    assert run(binary, "explain", file, "--client", "nowhere").returncode == 2
    assert run(binary, "explain", tmp_path / "missing").returncode == 1
