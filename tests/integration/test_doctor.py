"""A configuration that Cloudflare would meet with a 52x is found out before it serves: `sallyport doctor`
has nothing but ok lines for config/cloudflare.yaml as it is handed out, finds exactly what each single
change of it breaks, and says so by exit code, in words and in JSON of a fixed form."""

import copy
import datetime
import json
import os
import pathlib
import re
import subprocess

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID
from harness.certs import Authority

CONFIG = pathlib.Path(__file__).parents[2] / "config" / "cloudflare.yaml"
CHECKS = {  # as docs/cloudflare.md lists them
    "config", "https", "exempt_addresses", "access_log", "tickets", "drain", "ranges", "ranges_age", "allow", "port",
    "proxy_protocol", "trust", "client_address", "idle", "connection_life", "handshake", "headers", "url", "streams",
    "min_rate", "versions", "alpn", "suites13", "suites12", "groups", "post_quantum", "client_auth", "chain", "names",
    "dates", "key", "origin_pull", "grpc", "websocket", "first_byte", "send", "response_headers", "rules",
}  # fmt: skip


class OriginCa(Authority):
    """Names itself as Cloudflare's Origin CA does."""

    def __init__(self, folder):
        super().__init__(folder, "origin-ca")
        name = x509.Name([
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "CloudFlare, Inc."),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "CloudFlare Origin SSL ECC Certificate Authority"),
            x509.NameAttribute(NameOID.LOCALITY_NAME, "San Francisco"),
            x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "California"),
        ])  # fmt: skip
        self.certificate = (
            self._builder(name, name, self._key, self._key, -1, 3650)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )


class Patient:
    """config/cloudflare.yaml with the files that it names, and a certificate in place of each kind."""

    def __init__(self, folder: pathlib.Path, binary):
        self.folder, self.binary = folder, binary
        self.origin_ca, self.public = OriginCa(folder), Authority(folder, "Public root")
        self.leaf = self.origin_ca.leaf("example.com", "*.example.com", end=3000)
        self.config = yaml.safe_load(CONFIG.read_text())
        self.config["access_log"]["path"] = str(folder / "access.jsonl")
        self.config["hosts"][0]["origin_pull"]["ca"] = str(Authority(folder, "Zone CA").pem)
        self.use(self.config, self.leaf)

    @staticmethod
    def use(config, leaf):
        config["hosts"][0]["tls"]["certificates"] = [{"chain": str(leaf.chain), "key": str(leaf.key)}]

    def changed(self, change) -> dict:
        config = copy.deepcopy(self.config)
        change(config)
        return config

    def run(self, config: dict | str, *words):
        file = self.folder / "patient.yaml"
        file.write_text(config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False))
        made = subprocess.run([self.binary, "doctor", "-c", file, *map(str, words)],
                              capture_output=True, text=True, timeout=30)  # fmt: skip
        return made.returncode, made.stdout, made.stderr

    def report(self, config, *words) -> tuple[int, dict]:
        code, out, err = self.run(config, "--json", *words)
        assert err == ""
        return code, json.loads(out)

    def wrong(self, config, *words) -> list[tuple]:
        """What is not ok: (severity, check, subject, code)."""
        code, report = self.report(config, *words)
        assert code == {"ok": 0, "warn": 3, "fail": 1}[report["severity"]]
        return [(f["severity"], f["check"], f["subject"], f["code"]) for f in report["findings"]
                if f["severity"] != "ok"]  # fmt: skip


@pytest.fixture(scope="module")
def patient(binary, tmp_path_factory):
    return Patient(tmp_path_factory.mktemp("doctor"), binary)


def test_the_setup_that_is_handed_out_has_ok_lines_alone(patient):
    assert patient.wrong(patient.config) == []
    code, out, err = patient.run(patient.config)
    assert code == 0 and err == ""
    assert re.search(r"\n\d+ ok, 0 warn, 0 fail\n$", out) and "remedy" not in out
    # With the intersections spelled out, in our order.
    assert ("shared in TLS 1.2, in our order: ECDHE-ECDSA-AES128-GCM-SHA256, ECDHE-ECDSA-AES256-GCM-SHA384\n") in out
    assert ("shared in TLS 1.3, in our order: TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, "
            "TLS_CHACHA20_POLY1305_SHA256\n") in out  # fmt: skip


def https(config):
    return config["listeners"][0]


def host(config):
    return config["hosts"][0]


def policy(**keys):
    return lambda c: c.update(tls={"policies": {"default": keys}})


def trusted(**keys):
    return lambda c: c.update(trusted=keys)


def limits(**keys):
    return trusted(limits=keys)


def timeouts(**keys):
    return lambda c: c["upstreams"]["web"].update(timeouts=keys)


HOST, POLICY, HTTPS, WEB = "host example.com", "policy default", "listener https", "upstream web"
BOTH = [HTTPS, "listener http"]  # what `trusted` says holds for both


@pytest.mark.parametrize(
    "change, severity, check, subjects, code",
    [
        (lambda c: https(c).update(address="[::]:9443"), "fail", "port", [HTTPS], 521),
        (lambda c: https(c).update(address="[::]:8080"), "fail", "port", [HTTPS], 520),
        (lambda c: https(c).pop("allow"), "warn", "allow", [HTTPS], None),
        (lambda c: https(c).update(allow=["192.0.2.0/24"]), "fail", "allow", [HTTPS], 521),
        (lambda c: https(c).update(allow=["104.16.0.0/13"]), "fail", "allow", [HTTPS], 521),
        (lambda c: https(c).update(trust=[]), "fail", "trust", [HTTPS], 520),
        (lambda c: https(c).update(trust=["104.16.0.0/13"]), "fail", "trust", [HTTPS], 520),
        (lambda c: https(c).update(client_address="peer"), "warn", "client_address", [HTTPS], None),
        (lambda c: https(c).update(client_address="true_client_ip"), "warn", "client_address", [HTTPS], None),
        (lambda c: https(c).update(proxy_protocol={"from": ["104.16.0.0/13"]}), "warn", "proxy_protocol", [HTTPS], 525),
        (lambda c: c.update(limits={"exempt_addresses": ["127.0.0.0/8"]}), "fail", "exempt_addresses", ["gateway"], 522),
        (lambda c: c.update(access_log={"path": "off"}), "warn", "access_log", ["gateway"], None),
        (lambda c: c.update(timeouts={"drain": "2s"}), "warn", "drain", ["gateway"], 520),
        (lambda c: c.update(tls={"tickets": False}), "warn", "tickets", ["gateway"], None),
        (trusted(timeouts={"idle": "900s"}), "fail", "idle", BOTH, 520),
        (trusted(timeouts={"handshake": "2s"}), "warn", "handshake", BOTH, 525),
        (limits(requests_per_connection=1000), "warn", "connection_life", BOTH, 520),
        (limits(connection_age="1h"), "warn", "connection_life", BOTH, 520),
        (limits(header_bytes="127KiB"), "warn", "headers", BOTH, None),
        (limits(header_field_bytes="8KiB"), "warn", "headers", BOTH, None),
        (limits(header_count=50), "warn", "headers", BOTH, None),
        (limits(url="8KiB"), "warn", "url", BOTH, None),
        (limits(h2={"streams": 100}), "warn", "streams", BOTH, None),
        (limits(min_rate={"response": "64KiB"}), "warn", "min_rate", BOTH, 520),
        (policy(alpn=["h2"]), "fail", "alpn", [POLICY], 525),
        (policy(max_version="1.2"), "warn", "versions", [POLICY], None),
        (policy(cipher_suites=["TLS_AES_128_CCM_SHA256"]), "fail", "suites13", [POLICY], 525),
        (policy(ciphers=["ECDHE-ECDSA-CHACHA20-POLY1305"]), "fail", "suites12", [HOST], 525),
        (policy(ciphers=["ECDHE-RSA-AES128-GCM-SHA256"]), "fail", "suites12", [HOST], 525),
        (policy(groups=["X25519", "P-256"]), "warn", "post_quantum", [POLICY], None),
        (lambda c: host(c).pop("origin_pull"), "warn", "origin_pull", [HOST], None),
        (lambda c: host(c)["origin_pull"].update(mode="report"), "warn", "origin_pull", [HOST], None),
        (lambda c: host(c)["origin_pull"].pop("ca"), "warn", "origin_pull", [HOST], None),
        (timeouts(first_byte="120s"), "fail", "first_byte", [WEB], 524),
        (timeouts(first_byte="100s"), "warn", "first_byte", [WEB], 524),
        (timeouts(first_byte="90s", connect="15s"), "warn", "first_byte", [WEB], 524),
        (lambda c: host(c)["routes"][2].update(timeouts={"first_byte": "10m"}), "fail", "first_byte",
         ["route example.com/"], 524),
        (timeouts(send="30s"), "fail", "send", [WEB], 524),
        (timeouts(send="0"), "fail", "send", [WEB], 524),
        (lambda c: host(c)["routes"][2].update(timeouts={"send": "1m"}), "fail", "send", ["route example.com/"], 524),
        (lambda c: c["upstreams"]["web"].update(limits={"header_bytes": "256KiB"}), "warn", "response_headers", [WEB], 520),
        (lambda c: c["upstreams"].update(spare={"endpoints": ["127.0.0.1:1"]}), "warn", "config", ["configuration"], None),
    ],
)  # fmt: skip
def test_each_single_mistake_is_found_and_nothing_else(patient, change, severity, check, subjects, code):
    assert patient.wrong(patient.changed(change)) == [(severity, check, subject, code) for subject in subjects]


def test_what_is_wrong_stands_at_its_line_with_a_remedy(patient):
    config = patient.changed(lambda c: c["upstreams"]["web"].update(timeouts={"first_byte": "120s"}))
    code, report = patient.report(config)
    finding = next(f for f in report["findings"] if f["severity"] == "fail")
    text = (patient.folder / "patient.yaml").read_text().splitlines()
    assert code == 1 and "first_byte: 90s" in finding["remedy"]
    assert finding["file"].endswith("patient.yaml") and "web:" in "".join(text[finding["line"] - 2 : finding["line"]])
    _, out, _ = patient.run(config)
    assert f"patient.yaml:{finding['line']}:{finding['column']}; visitors see 524" in out


def test_without_h2_there_is_no_grpc(patient):
    config = patient.changed(policy(alpn=["http/1.1"]))
    assert patient.wrong(config) == [("warn", "alpn", POLICY, None), ("fail", "grpc", HOST, 520)]


def test_groups_without_x25519_cost_a_second_hello_and_without_any_of_cloudflares_the_connection(patient):
    assert ("warn", "groups", POLICY, None) in patient.wrong(patient.changed(policy(groups=["P-256"])))
    assert ("fail", "groups", POLICY, 525) in patient.wrong(patient.changed(policy(groups=["P-521"])))
    # P-384 stands in a tuple of its own, before X25519's.
    tuples = patient.changed(policy(groups=[["P-384"], ["X25519MLKEM768", "X25519"]]))
    assert ("warn", "groups", POLICY, None) in patient.wrong(tuples)


def test_a_listener_of_the_house_is_left_alone(patient):
    def change(config):
        config["listeners"].append({"name": "inside", "address": "127.0.0.1:9443", "allow": ["127.0.0.0/8"],
                                    "trust": [], "timeouts": {"idle": "5s"}})  # fmt: skip

    assert patient.wrong(patient.changed(change)) == []


def test_a_gateway_without_https_for_cloudflare(patient):
    def change(config):
        https(config).update(allow=["127.0.0.0/8"], trust=[])

    assert patient.wrong(patient.changed(change)) == [("fail", "https", "gateway", 521)]
    elsewhere = patient.changed(lambda c: https(c).update(address="[::]:8443"))
    assert patient.wrong(elsewhere) == [("warn", "https", "gateway", None)]


# ---- certificates --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names, days, expected",
    [
        (["example.com", "*.example.com"], 3000, []),
        (["example.com", "*.example.com"], -1, [("fail", "dates", HOST, 526)]),
        (["example.com", "*.example.com"], 13, [("warn", "dates", HOST, 526)]),
        (["example.com", "www.example.com"], 3000, [("fail", "names", HOST, 526)]),
        (["*.example.com"], 3000, [("fail", "names", HOST, 526)]),
    ],
)
def test_certificates_of_the_origin_ca(patient, names, days, expected):
    leaf = patient.origin_ca.leaf(*names, start=-60, end=days)
    assert patient.wrong(patient.changed(lambda c: patient.use(c, leaf))) == expected


def test_certificates_of_public_cas_need_their_whole_chain(patient):
    names = ("example.com", "*.example.com")
    whole = patient.public.intermediate("Public intermediate").leaf(*names, end=90)
    config = patient.changed(lambda c: patient.use(c, whole))
    assert patient.wrong(config, "--roots", patient.public.pem) == []
    # Another root than Cloudflare's.
    assert patient.wrong(config) == [("fail", "chain", HOST, 526)]
    assert patient.wrong(config, "--roots", patient.origin_ca.pem) == [("fail", "chain", HOST, 526)]
    # Without the intermediate.
    block = whole.chain.read_text().split("-----END CERTIFICATE-----\n")[0] + "-----END CERTIFICATE-----\n"
    whole.chain.write_text(block)
    assert patient.wrong(config, "--roots", patient.public.pem) == [("fail", "chain", HOST, 526)]
    # Past its date, at another time than now.
    then = (datetime.datetime.utcnow() + datetime.timedelta(days=5000)).strftime("%Y-%m-%d")
    assert ("fail", "dates", HOST, 526) in patient.wrong(patient.config, "--at", then)


def test_a_self_signed_certificate_and_a_key_that_cloudflare_does_not_take(patient):
    own = patient.folder / "own"
    for curve, expected in (("P-256", ("fail", "chain", HOST, 526)), ("P-521", ("fail", "key", HOST, 525))):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-nodes",
                        "-subj", "/CN=example.com", "-addext", "subjectAltName=DNS:example.com,DNS:*.example.com",
                        "-days", "90", "-keyout", f"{own}.key", "-out", f"{own}.pem"], check=True,
                       capture_output=True, timeout=30)  # fmt: skip
        config = patient.changed(lambda c: c["hosts"][0]["tls"].update(
            certificates=[{"chain": f"{own}.pem", "key": f"{own}.key"}]))  # fmt: skip
        assert expected in patient.wrong(config)
    assert any("self-signed" in f["text"] for f in patient.report(config)[1]["findings"])


# ---- the other files -----------------------------------------------------------------------


def test_the_ranges_of_a_file_grow_old_and_may_lack_some(patient):
    file = patient.folder / "ips-v4"
    file.write_text("104.16.0.0/13\n172.64.0.0/13\n")
    config = patient.changed(lambda c: c.update(address_sets={"cloudflare": {"files": [str(file)]}}))
    lacking = ("warn", "ranges", "address set cloudflare", 522)
    assert lacking in patient.wrong(config)
    forty_days_ago = file.stat().st_mtime - 40 * 86400
    os.utime(file, (forty_days_ago, forty_days_ago))
    assert ("warn", "ranges_age", "address set cloudflare", None) in patient.wrong(config)


def test_the_ca_of_origin_pulls_must_be_there_in_date_and_ones_own(patient):
    def using(path):
        return patient.changed(lambda c: host(c)["origin_pull"].update(ca=str(path)))

    old = patient.public.intermediate("Old").leaf("zone", start=-30, end=-3)
    # What is no certificate at all does not load, and the gateway would not start.
    assert patient.wrong(using(old.chain.with_suffix(".key"))) == [("fail", "config", "configuration", None)]
    only = patient.folder / "old.pem"
    only.write_text(old.chain.read_text().split("-----END CERTIFICATE-----\n")[0] + "-----END CERTIFICATE-----\n")
    assert ("fail", "origin_pull", HOST, 520) in patient.wrong(using(only))
    shared = Authority(patient.folder, "origin-pull.cloudflare.net")
    assert patient.wrong(using(shared.pem)) == [("warn", "origin_pull", HOST, None)]


# ---- the command ---------------------------------------------------------------------------


def test_the_json_has_a_fixed_form(patient):
    config = patient.changed(lambda c: (https(c).pop("allow"), c.update(limits={"exempt_addresses": []})))
    code, report = patient.report(config)
    assert code == 1
    assert set(report) == {"config", "date", "openssl", "severity", "counts", "findings"}
    assert report["severity"] == "fail" and set(report["counts"]) == {"ok", "warn", "fail"}
    assert sum(report["counts"].values()) == len(report["findings"])
    for finding in report["findings"]:
        assert set(finding) == {"severity", "check", "subject", "text", "remedy", "code", "file", "line", "column"}
        assert finding["check"] in CHECKS
        assert (finding["remedy"] == "") == (finding["severity"] == "ok")


def test_every_check_is_documented():
    page = (CONFIG.parents[1] / "docs" / "cloudflare.md").read_text()
    assert [check for check in CHECKS | LIVE if f"`{check}`" not in page] == []


def test_what_does_not_load_is_told_as_check_tells_it(patient):
    code, report = patient.report("version: 1\nlistners: []\n")
    assert code == 1
    assert report["findings"][0]["check"] == "config" and "listners" in str(report)
    broken = patient.changed(lambda c: host(c)["tls"]["certificates"][0].update(chain="/nowhere.pem"))
    code, report = patient.report(broken)
    assert code == 1 and [f["check"] for f in report["findings"]] == ["config"] and "/nowhere.pem" in str(report)


def test_wrong_usage(patient, binary):
    for words in (["doctor"], ["doctor", "-c", "x", "--fix"], ["doctor", "-c", "x", "--at", "soon"]):
        assert subprocess.run([binary, *words], capture_output=True, timeout=30).returncode == 2
    assert patient.run(patient.config, "--roots", "/nowhere.pem")[0] == 1


# ---- rules ---------------------------------------------------------------------------------


def test_the_policy_that_a_rule_gives_cloudflare_is_judged_as_well(patient):
    def rules(*list_, **other):
        def change(config):
            config["tls"] = {"policies": {"default": {"rules": list(list_)}, **other}}

        return patient.changed(change)

    refuse = {"name": "no-quantum", "when": {"groups": {"any": ["X25519MLKEM768"]}}, "refuse": True}
    assert ("fail", "rules", HOST, 525) in patient.wrong(rules(refuse))
    ranged = {"name": "theirs", "when": {"addresses": ["104.16.0.0/13"]}, "policy": "old"}
    assert ("fail", "alpn", "policy old", 525) in patient.wrong(rules(ranged, old={"alpn": ["h2"]}))
    others = {"name": "others", "when": {"addresses": ["192.0.2.0/24"]}, "refuse": True}
    assert patient.wrong(rules(others)) == []


# ---- live ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def live(patient, shared_gateway, origin):
    """live(change, *words): what doctor --live finds of the running gateway, by check; the configuration is
    the patient's, for this machine, changed. The gateway serves it too unless `serves` says what it serves."""

    def local(config):
        for listener in config["listeners"]:
            listener.update(address="127.0.0.1:0", allow=["cloudflare", "127.0.0.0/8"])
        config.update(admin={"address": "127.0.0.1:0"}, workers=1)
        host(config).pop("origin_pull")
        config["upstreams"]["web"]["endpoints"] = [origin.endpoint()]

    def run(change=lambda c: None, *words, serves=None):
        config = patient.changed(local)
        change(config)
        serving = config
        if serves:
            serving = patient.changed(local)
            serves(serving)
        gateway = shared_gateway(serving)
        code, report = patient.report(config, "--live", "--connect", f"127.0.0.1:{gateway.port()}", *words)
        found = [f for f in report["findings"] if f["subject"].startswith("live ")]
        assert code != 0 and found and {f["check"] for f in found} <= LIVE  # code: the port is no fixed one
        return {f["check"]: (f["severity"], f["code"], f["text"]) for f in found}

    return run


LIVE = {"live_connect", "live_hello", "live_certificate", "live_origin_pull", "live_tls12", "live_h2", "live_http1"}


def test_live_a_gateway_that_is_right(live):
    found = live()
    assert {check: severity for check, (severity, _, _) in found.items()} == {
        check: "ok" for check in LIVE - {"live_origin_pull"}}  # fmt: skip
    assert "TLSv1.3, TLS_AES_128_GCM_SHA256" in found["live_hello"][2]
    assert "TLSv1.2, ECDHE-ECDSA-AES128-GCM-SHA256" in found["live_tls12"][2]
    assert re.match(r"HTTP/2 over .*: answered \d+, \d+ requests at once$", found["live_h2"][2])
    assert found["live_http1"][2].startswith("HTTP/1.1 over ")


def test_live_a_gateway_without_a_shared_suite_and_without_http1(live):
    policy = {"ciphers": ["ECDHE-ECDSA-CHACHA20-POLY1305"], "alpn": ["h2"]}
    found = live(lambda c: c.update(tls={"policies": {"default": policy}}))
    assert found["live_hello"][0] == "ok" and found["live_h2"][0] == "ok"
    assert found["live_tls12"][:2] == ("fail", 525) and "handshake_failure" in found["live_tls12"][2]
    assert found["live_http1"][:2] == ("fail", 525) and "no_application_protocol" in found["live_http1"][2]


def test_live_an_upstream_that_is_down_and_a_certificate_that_was_not_reloaded(live, patient, refused_port):
    leaf = patient.origin_ca.leaf("example.com", "*.example.com", end=3000)
    found = live(serves=lambda c: (patient.use(c, leaf), c["upstreams"]["web"].update(
        endpoints=[f"127.0.0.1:{refused_port}"])))  # fmt: skip
    assert found["live_certificate"][0] == "warn"
    assert found["live_h2"][0] == "warn" and "answered 502" in found["live_h2"][2]
    assert found["live_http1"][0] == "warn" and "answered 502" in found["live_http1"][2]


def test_live_client_certificates(live, patient):
    ca = patient.public
    asks = {"client_auth": {"mode": "require", "ca": str(ca.pem)}}
    mutual = lambda c: c.update(tls={"policies": {"default": asks}})  # noqa: E731
    found = live(mutual)
    assert found["live_origin_pull"][0] == "warn" and "live_h2" not in found
    mine = ca.leaf("cloudflare", client=True)
    found = live(mutual, "--client-cert", mine.chain, "--client-key", mine.key)
    assert found["live_origin_pull"][0] == found["live_h2"][0] == found["live_http1"][0] == "ok"
    # The files say that it is asked for; what runs does not know yet.
    zone = {"mode": "require", "ca": str(ca.pem)}
    found = live(lambda c: host(c).update(origin_pull=zone), serves=lambda c: None)
    assert found["live_origin_pull"][:2] == ("fail", 520)


def test_live_nobody_there_and_not_let_in(patient, live, refused_port):
    _, report = patient.report(patient.config, "--live", "--connect", f"127.0.0.1:{refused_port}")
    last = report["findings"][-1]
    assert (last["severity"], last["check"], last["code"]) == ("fail", "live_connect", 521)
    outside = lambda c: https(c).update(allow=["cloudflare"])  # noqa: E731
    found = live(outside)
    assert list(found) == ["live_connect"] and "allow" in found["live_connect"][2]
    assert found["live_connect"][0] == "warn"


def test_live_wrong_usage(patient):
    assert patient.run(patient.config, "--connect", "127.0.0.1:1")[0] == 2
    assert patient.run(patient.config, "--live", "--client-cert", "x")[0] == 2
    code, _, err = patient.run(patient.config, "--live", "--connect", "somewhere")
    assert code == 1 and "expected 192.0.2.1:443" in err
