"""What operators see: metrics by their agreed names, one access log line a request, logs that
rotate, health and status, and a configuration that can be checked before it is used."""

import json
import pathlib
import re
import signal
import subprocess

import pytest
from harness import config
from harness.clients import curl, run, s_client, tcp, tls, tls_context
from harness.h2client import H2Client
from harness.process import wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Names of the families, the labels that they must have, and what the traffic below makes of them.
COUNTED = [
    ("sallyport_tls_handshakes_total", dict(listener="https", host="localhost", version="1.3", alpn="h2"), 1),
    ("sallyport_tls_handshakes_total", dict(version="1.2", alpn="http/1.1", resumed="false"), 1),
    ("sallyport_tls_handshake_failures_total", dict(listener="https", host="_unmatched", reason="unknown_sni"), 1),
    ("sallyport_tls_handshake_failures_total", dict(listener="https", reason="not_tls"), 1),
    ("sallyport_tls_handshake_duration_seconds_count", dict(listener="https", resumed="false"), 2),
    ("sallyport_tls_handshake_duration_seconds_bucket", dict(listener="https", resumed="false", le="+Inf"), 2),
    ("sallyport_tls_handshake_cpu_seconds_total", dict(listener="https"), 0.0001),
    ("sallyport_tls_ciphers_total", dict(listener="https", cipher="TLS_AES_128_GCM_SHA256"), 1),
    ("sallyport_tls_groups_total", dict(listener="https"), 2),
    ("sallyport_tls_sigalgs_total", dict(listener="https"), 2),
    ("sallyport_tls_certificate_not_after_timestamp_seconds", dict(host="localhost", key_type="ecdsa"), 1e9),
    ("sallyport_tls_certificate_not_before_timestamp_seconds", dict(host="localhost"), 1e9),
    ("sallyport_tls_certificate_loaded_timestamp_seconds", dict(host="localhost"), 1e9),
    ("sallyport_config_reloads_total", dict(trigger="sighup", result="ok"), 1),
    ("sallyport_config_last_reload_successful", {}, 1),
    ("sallyport_config_last_reload_success_timestamp_seconds", {}, 1e9),
    ("sallyport_config_generation", {}, 2),
    ("sallyport_config_generations_alive", {}, 1),
    ("sallyport_config_reload_duration_seconds_count", dict(phase="parse"), 1),
    ("sallyport_config_reload_duration_seconds_count", dict(phase="swap"), 1),
    ("sallyport_listener_connections_total", dict(listener="http", peer="other"), 1),
    ("sallyport_listener_connections", dict(listener="https"), 1),
    ("sallyport_connection_closed_total", dict(listener="https", proto="http/1.1", by="peer"), 1),
    ("sallyport_http_requests_total", dict(proto="h2", method="GET", code_class="2xx"), 1),
    ("sallyport_http_requests_total", dict(proto="http/1.1", method="POST", code_class="2xx"), 1),
    ("sallyport_http_requests_total", dict(code_class="5xx"), 1),
    ("sallyport_http_request_duration_seconds_count", dict(code_class="2xx"), 2),
    ("sallyport_http_time_to_first_byte_seconds_count", dict(code_class="2xx"), 2),
    ("sallyport_http_requests_in_flight", {}, 1),
    ("sallyport_http_request_bytes_total", {}, 1000),
    ("sallyport_http_response_bytes_total", {}, 5000),
    ("sallyport_http_local_replies_total", dict(code="502", reason="upstream_reset"), 1),
    ("sallyport_h2_streams_reset_total", dict(side="client", dir="rx", error_code="cancel"), 1),
    ("sallyport_upstream_connections_total", dict(upstream="web", proto="http/1.1", result="ok"), 1),
    ("sallyport_upstream_connections", dict(upstream="web", state="active"), 1),
    ("sallyport_upstream_connect_duration_seconds_count", dict(upstream="web"), 1),
    ("sallyport_upstream_response_duration_seconds_count", dict(upstream="web"), 2),
    ("sallyport_upstream_requests_total", dict(upstream="web", code_class="2xx", reused="true"), 1),
    ("sallyport_upstream_retries_total", dict(upstream="web", result="exhausted"), 1),
    ("sallyport_upstream_endpoints", dict(upstream="web", state="healthy"), 1),
    ("sallyport_event_loop_lag_seconds_count", {}, 1),
    ("sallyport_build_info", {}, 1),
    ("process_resident_memory_bytes", {}, 1e6),
    ("process_open_fds", {}, 5),
]
PRESENT = ["sallyport_tls_handshakes_in_progress", "sallyport_tls_hello_retry_requests_total",
           "sallyport_tls_client_hello_segmented_total", "sallyport_tls_ticket_key_rotations_total",
           "sallyport_listener_rejected_total", "sallyport_h2_flood_protection_total",
           "sallyport_upstream_tls_handshake_duration_seconds_count", "sallyport_upstream_pending_requests",
           "sallyport_upstream_ejections_total", "sallyport_accesslog_dropped_total"]  # fmt: skip


@pytest.fixture
def made(certs, origin, tmp_path):
    return config.basic([certs.localhost], [origin.endpoint()], tmp_path)


def test_metrics_count_what_happened_and_promtool_finds_no_fault(gateway, made, certs):
    gw = gateway(made)
    assert gw.reload()
    assert curl(gw.url("/upload"), "--tls-max", "1.2", http="1.1", cacert=certs.ca.pem, method="POST",
                data=b"x" * 1000).status == 200  # fmt: skip
    assert curl(gw.url("/bytes/1", listener="http")).status == 200
    s_client(gw.port(), sni="elsewhere.test")
    with tcp(gw.port()) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        plain.recv(1000)
    with tls(gw.port(), tls_context(certs.ca.pem)) as connection:
        client = H2Client(connection)
        assert client.get("/bytes/5000").status == 200
        assert client.get("/reset").status == 502
        number = client.start(path="/stream/100000?interval=10")
        client.wait(lambda: client.streams[number].body, "a piece")
        client.cancel(number)
        client.wait(lambda: client.get("/bytes/1").status == 200, "an answer behind the RST_STREAM")
        open_ = client.start(path="/stream/100000?interval=10")
        client.wait(lambda: client.streams[open_].body, "a piece")
        gw.wait_metric("sallyport_event_loop_lag_seconds_count", 1)  # once a second
        metrics = gw.metrics()
    missing = [(name, labels, metrics.samples(name)) for name, labels, least in COUNTED
               if metrics.value(name, **labels) < least]  # fmt: skip
    assert not missing
    assert [name for name in PRESENT if name not in metrics.all] == []
    checked = run("promtool", "check", "metrics", stdin=metrics.text.encode())
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_gauges_come_back_to_zero(gateway, made, certs):
    gw = gateway(made)
    with tls(gw.port(), tls_context(certs.ca.pem)) as connection:
        client = H2Client(connection)
        number = client.start(path="/delay/60000")
        gw.wait_metric("sallyport_http_requests_in_flight", 1)
        client.cancel(number)
    for name, labels in (("sallyport_http_requests_in_flight", {}), ("sallyport_listener_connections", {}),
                         ("sallyport_upstream_connections", {"state": "active"}),
                         ("sallyport_tls_handshakes_in_progress", {})):  # fmt: skip
        wait_until(lambda name=name, labels=labels: gw.metrics().value(name, **labels) == 0, f"{name} 0", process=gw)


def test_labels_are_no_place_for_what_clients_send(gateway, made, certs):
    """Otherwise one scanner fills the memory with series (and the logs of the scraper)."""
    gw = gateway(made)
    for n in range(20):
        s_client(gw.port(), sni=f"random-{n}.test")
        curl(gw.url(f"/path-{n}"), method=f"METHOD{n}", cacert=certs.ca.pem)
    gw.wait_access(20)
    text = gw.metrics().text
    assert not re.search(r"random-|path-|METHOD", text)


# ---- the access log ----


def test_a_line_tells_the_whole_request(gateway, made, certs, origin):
    made["hosts"][0]["routes"] = [{"match": {"path_prefix": "/api/"}, "rewrite": {"prefix": "/"}, "upstream": "web"}]
    made["listeners"][0]["trust"] = ["127.0.0.1"]  # or CF-Ray would be anybody's word
    gw = gateway(made)
    response = curl(gw.url("/api/echo?a=b"), http="2", cacert=certs.ca.pem, data=b"12345",
                    headers=["CF-Ray: 8abc-FRA", "Referer: https://example.com/\"x", "User-Agent: tester"])  # fmt: skip
    line = gw.wait_access(1)[0]
    for key, value in dict(client="127.0.0.1", listener="https", host="localhost", method="POST",
                           authority=f"localhost:{gw.port()}", target="/api/echo?a=b", proto="HTTP/2.0", status=200,
                           bytes_in=5, bytes_out=len(response.body), upstream="web", endpoint=origin.endpoint(),
                           upstream_status=200, upstream_reused=False, retries=0, cf_ray="8abc-FRA",
                           referer="https://example.com/\"x", user_agent="tester", sni="localhost",
                           tls_version="TLSv1.3", tls_cipher="TLS_AES_128_GCM_SHA256").items():  # fmt: skip
        assert line[key] == value, key
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["time"])
    assert re.fullmatch(r"[0-9a-f]{32}", line["request_id"])
    assert 0 < line["upstream_first_byte_s"] <= line["first_byte_s"] <= line["duration_s"] < 10
    assert 0 <= line["upstream_connect_s"] <= line["first_byte_s"]


def test_each_line_is_json_whatever_the_client_sends(gateway, made, certs):
    """A quote or an escape in a field must not let a client write log lines of its own."""
    gw = gateway(made)
    nasty = 'a"b\\c\x01\x7f\xff{}[]'.encode("latin-1")
    with tls(gw.port(), tls_context(certs.ca.pem, alpn=("http/1.1",))) as connection:
        request = b'GET /x"y?\\ HTTP/1.1\r\nHost: localhost\r\nUser-Agent: ' + nasty + b"\r\nConnection: close\r\n\r\n"
        connection.sendall(request.replace(b"\x01", b"").replace(b"\x7f", b""))
        connection.recv(65536)
    assert len(gw.wait_access(1)) == 1


def test_what_failed_is_told_with_reason_fault_and_error(gateway, made, certs, refused_port):
    made["upstreams"]["web"]["endpoints"] = [f"127.0.0.1:{refused_port}"]
    gw = gateway(made)
    assert curl(gw.url("/"), cacert=certs.ca.pem).status == 502
    line = gw.wait_access(1)[0]
    assert (line["status"], line["reason"], line["error"], line["fault"]) == (
        502, "upstream_connect", "connect_refused", "upstream")  # fmt: skip
    assert "upstream_status" not in line


def test_logs_are_opened_anew_on_sigusr1(gateway, made, certs, tmp_path):
    made["log"] = {"path": str(tmp_path / "events.log")}
    gw = gateway(made)
    access, events = tmp_path / "access.jsonl", tmp_path / "events.log"
    assert curl(gw.url("/one"), cacert=certs.ca.pem).status == 200
    gw.wait_access(1, target="/one")
    for file in (access, events):
        file.rename(f"{file}.1")
    gw.signal(signal.SIGUSR1)
    wait_until(lambda: access.exists() and events.exists(), "new log files", process=gw)
    assert curl(gw.url("/two"), cacert=certs.ca.pem).status == 200
    gw.wait_access(1, target="/two")
    assert gw.reload()
    wait_until(lambda: "reloaded" in events.read_text(), "an event in the new file", process=gw)
    assert [line["target"] for line in gw.access_log(tmp_path / "access.jsonl.1")] == ["/one"]
    assert [line["target"] for line in gw.access_log()] == ["/two"]


def test_the_access_log_can_be_off_and_turned_on_by_a_reload(gateway, made, certs, tmp_path):
    path = made["access_log"]["path"]
    made["access_log"] = {"path": "off"}
    gw = gateway(made)
    assert curl(gw.url("/unseen"), cacert=certs.ca.pem).status == 200
    made["access_log"] = {"path": path}
    assert gw.reload(made)
    assert curl(gw.url("/seen"), cacert=certs.ca.pem).status == 200
    assert [line["target"] for line in gw.wait_access(1)] == ["/seen"]


def test_events_can_be_json(gateway, made, tmp_path):
    made["log"] = {"path": str(tmp_path / "events.json"), "format": "json", "level": "debug"}
    gw = gateway(made)
    assert gw.reload()
    gw.stop()
    events = [json.loads(line) for line in (tmp_path / "events.json").read_text().splitlines()]
    assert {"started", "reloaded", "draining", "stopped"} <= {event["event"] for event in events}


# ---- the admin endpoint ----


def test_admin_on_a_unix_socket(gateway, made, tmp_path):
    socket_path = tmp_path / "admin.sock"
    made["admin"] = {"address": f"unix:{socket_path}"}
    gw = gateway(made)
    for path in ("/healthz", "/readyz", "/status", "/metrics"):
        assert gw.admin(path)[0] == 200, path
    assert socket_path.stat().st_mode & 0o007 == 0  # nobody else's business
    gw.stop()
    assert not socket_path.exists()


def test_status_and_methods(gateway, made):
    gw = gateway(made)
    status = json.loads(gw.admin("/status")[1])
    assert (status["ready"], status["draining"], status["generation"], status["workers"]) == (True, False, 1, 1)
    assert {entry["name"]: entry["protocol"] for entry in status["listeners"]} == {"https": "https", "http": "http"}
    assert status["last_reload"]["successful"] is True
    assert gw.admin("/nothing")[0] == 404
    assert gw.admin("/metrics", "POST")[0] == 405


# ---- check ----


def check(binary, file):
    return subprocess.run([binary, "check", "-c", file], capture_output=True, text=True, timeout=60, check=False)


def test_check_accepts_what_run_would_and_binds_nothing(gateway, made, binary, tmp_path):
    gw = gateway(made)
    made["listeners"][0]["address"] = f"127.0.0.1:{gw.port()}"  # taken: only run would mind
    file = tmp_path / "other.yaml"
    file.write_text(json.dumps(made))
    done = check(binary, file)
    assert (done.returncode, "error" in done.stderr + done.stdout) == (0, False), done.stderr


def test_check_tells_every_problem_with_its_place(made, certs, binary, tmp_path):
    made["lisstners"] = []
    made["timeouts"]["drain"] = "5 parsecs"
    made["hosts"][0]["tls"]["certificates"][0]["key"] = str(certs.client.key)
    file = tmp_path / "bad.yaml"
    file.write_text(json.dumps(made, indent=1))
    done = check(binary, file)
    told = done.stderr + done.stdout
    assert done.returncode == 1
    for text in ("lisstners", "listeners", "parsecs"):
        assert text in told
    assert len(re.findall(r"bad\.yaml:\d+:\d+: error", told)) >= 2
    made["timeouts"]["drain"] = "5s"
    del made["lisstners"]
    file.write_text(json.dumps(made, indent=1))
    done = check(binary, file)
    assert (done.returncode, "key" in done.stderr + done.stdout) == (1, True)


def test_the_reference_configuration_loads(certs, binary, tmp_path):
    """It documents every key: a key that the loader does not know, or another default, misleads."""
    (tmp_path / "reference.yaml").write_text((ROOT / "config" / "reference.yaml").read_text())
    folder = tmp_path / "certs"
    folder.mkdir()
    leaf = certs.ca.leaf("example.com", "*.example.com")
    (folder / "example.pem").write_bytes(leaf.chain.read_bytes())
    (folder / "example.key").write_bytes(leaf.key.read_bytes())
    (folder / "example.key").chmod(0o600)
    done = check(binary, tmp_path / "reference.yaml")
    assert done.returncode == 0, done.stderr + done.stdout
