"""The alert rules are raised when they should be, and read metrics that there are: an alert on a name that
nobody exposes never comes."""

import pathlib
import re

import yaml
from harness import config
from harness.clients import curl, run, s_client

HERE = pathlib.Path(__file__).resolve().parent
RULES = HERE.parents[1] / "deploy" / "alerts.yaml"
FAMILIES = HERE.parents[1] / "src" / "obs" / "families.cpp"
# Exposed once there is an OCSP answer to show.
LATER = {"sallyport_tls_ocsp_staple_next_update_timestamp_seconds"}


def test_promtool_finds_no_fault():
    checked = run("promtool", "check", "rules", RULES)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_each_alert_comes_when_it_should_and_not_before():
    done = run("promtool", "test", "rules", HERE / "alerts.test.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_tested_and_says_what_to_do():
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    tested = set(re.findall(r"alertname: (\w+)", (HERE / "alerts.test.yaml").read_text()))
    assert {rule["alert"] for rule in rules} == tested
    assert all({"summary", "description"} <= rule["annotations"].keys() for rule in rules)


def test_each_alert_reads_what_the_gateway_exposes(gateway, certs, origin, tmp_path):
    gw = gateway(config.basic([certs.localhost], [origin.endpoint()], tmp_path))
    assert curl(gw.url("/bytes/1"), cacert=certs.ca.pem).status == 200
    s_client(gw.port(), sni="elsewhere.test")
    gw.wait_metric("sallyport_tls_handshake_failures_total", 1)
    exposed = gw.metrics()
    read = {
        name: labels
        for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
        for name, labels in re.findall(r"(sallyport_\w+)(?:\{(.*?)\})?", rule["expr"])
    }
    assert set(read) - LATER <= set(exposed.all)
    assert all(name in FAMILIES.read_text() for name in LATER)
    for name, labels in read.items():
        for label in re.findall(r"(\w+)!?=", labels):
            assert all(label in have for have, _ in exposed.all[name]), (name, label)
