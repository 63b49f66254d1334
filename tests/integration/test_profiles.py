"""Named profiles: what `sallyport policy` prints of one is what a host under it does, and each keeps the promise
of its name towards real clients."""

import json

import pytest
from harness import config
from harness.clients import run, s_client
from harness.gateway import Gateway

GROUPS = "sallyport_tls_groups_total"
PROFILES = ["standard", "modern", "intermediate", "cloudflare", "fips"]
# What Cloudflare offers an origin under TLS 1.2.
CLOUDFLARE = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-SHA:AES128-GCM-SHA256:AES128-SHA:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-SHA384:AES256-SHA"
)


@pytest.fixture(scope="module")
def gw(binary, certs, origin, tmp_path_factory):
    folder = tmp_path_factory.mktemp("profiles")
    made = config.basic([certs.localhost], [origin.endpoint()], folder)
    made["tls"] = {"policies": {name: {"profile": name} for name in PROFILES}}
    made["tls"]["policies"]["laid-over"] = {"profile": "modern", "groups": ["P-384"],
                                            "rules": [{"name": "old", "when": {"versions": {"none": ["1.3"]}},
                                                       "policy": "fips"}]}  # fmt: skip
    made["hosts"] = [config.host(f"{name}.test", [certs.ca.leaf(f"{name}.test")], [{"upstream": "web"}],
                                 tls={"policy": name}) for name in made["tls"]["policies"]]  # fmt: skip
    process = Gateway(binary, made, folder).wait_ready()
    yield process
    process.stop()


def told(binary, *arguments) -> dict:
    done = run(binary, "policy", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def taken(gw, name: str, *arguments) -> bool:
    done = s_client(gw.port(), *arguments, sni=f"{name}.test", stdin=b"")
    return "New, TLSv1" in done.stdout and "Cipher is (NONE)" not in done.stdout


@pytest.mark.parametrize("name", PROFILES)
def test_a_host_does_what_is_printed_of_its_profile_and_nothing_else(binary, gw, name):
    printed = told(binary, name)
    assert taken(gw, name, "-tls1_2") == ("1.2" in printed["versions"])
    assert taken(gw, name, "-tls1_3") == ("1.3" in printed["versions"])
    for suite in ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"):
        assert taken(gw, name, "-tls1_3", "-ciphersuites", suite) == (suite in printed["cipher_suites"]), suite
    for cipher in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305",
                   "ECDHE-ECDSA-AES128-SHA"):  # fmt: skip
        assert taken(gw, name, "-tls1_2", "-cipher", cipher) == (cipher in printed["ciphers"]), cipher
    for group in ("X25519", "P-256", "P-384", "P-521"):
        assert taken(gw, name, "-tls1_3", "-groups", group) == (group in sum(printed["groups"], [])), group


def test_cloudflares_own_offer_is_taken(gw):
    assert taken(gw, "cloudflare", "-tls1_2", "-cipher", CLOUDFLARE)
    assert not taken(gw, "modern", "-tls1_2", "-cipher", CLOUDFLARE)


def test_the_metric_shows_who_used_x25519mlkem768(binary, gw):
    """Of this OpenSSL, if it has the group: 3.5 offers it by itself. One without says so and takes X25519."""
    has = "X25519MLKEM768" not in told(binary, "standard")["lacking"]
    expected = "X25519MLKEM768" if has else "X25519"
    before = gw.metrics().value(GROUPS, group=expected)
    assert taken(gw, "standard", "-tls1_3")
    gw.wait_metric(GROUPS, before + 1, group=expected)


def test_a_file_s_policies_are_printed_with_what_was_laid_over_and_who_has_them(binary, gw):
    printed = told(binary, "laid-over", "-c", gw.config_file)
    assert printed["profile"] == "modern" and printed["versions"] == ["1.3"] and printed["groups"] == [["P-384"]]
    assert printed["hosts"] == ["laid-over.test"]
    assert printed["rules"] == [{"name": "old", "when": "versions none of 1.3", "outcome": "fips"}]
    text = run(binary, "policy", "laid-over", "-c", gw.config_file).stdout
    assert "starts from      profile modern" in text and "old: versions none of 1.3 -> policy fips" in text
    listed = run(binary, "policy", "-c", gw.config_file).stdout
    assert "laid-over        profile modern, 1 rule" in listed


def test_the_list_and_what_is_not_in_it(binary):
    assert [line.split()[0] for line in run(binary, "policy").stdout.splitlines()] == PROFILES
    shown = run(binary, "policy", "intermediate").stdout
    assert "Mozilla Server Side TLS 6.0" in shown and "ECDHE-RSA-CHACHA20-POLY1305" in shown
    wrong = run(binary, "policy", "intermediat")
    assert wrong.returncode == 1 and 'did you mean "intermediate"' in wrong.stderr
