"""A chain that clients refuse is found at the desk and not by the clients: `sallyport chain` on the files
that people make, and what the gateway makes of the same files."""

import datetime
import json
import pathlib
import re
import subprocess

import pytest
import yaml
from harness import config
from harness.certs import Authority
from harness.clients import run, s_client


class Files:
    """A root, an intermediate and a leaf, each also in a file of its own."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.root = Authority(folder)
        self.other_root = Authority(folder, "Another root")
        self.middle = self.root.intermediate()
        self.leaf = self.middle.leaf("localhost", "www.localhost")
        self.blocks = dict(zip(("leaf", "middle"), self._split(self.leaf.chain.read_text())))
        self.blocks["root"] = self.root.pem.read_text()
        self.blocks["other"] = self.other_root.pem.read_text()
        self.blocks["key"] = self.leaf.key.read_text()

    @staticmethod
    def _split(pem: str) -> list[str]:
        end = "-----END CERTIFICATE-----\n"
        return [part + end for part in pem.split(end) if part.strip()]

    def of(self, *names: str) -> pathlib.Path:
        path = self.folder / ("-".join(names) + ".made.pem")
        path.write_text("".join(self.blocks[name] for name in names))
        path.chmod(0o600)
        return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return Files(tmp_path_factory.mktemp("chains"))


@pytest.fixture(scope="module")
def chain(binary):
    """chain(*words) runs the command; gives exit code, stdout and stderr."""

    def run(*words):
        made = subprocess.run([binary, "chain", *map(str, words)], capture_output=True, text=True, timeout=30)
        return made.returncode, made.stdout, made.stderr

    return run


def reasons(report: dict) -> list[str]:
    return [finding["reason"] for finding in report["findings"]]


# ---- the command ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given, code, expected, sent",
    [
        (["leaf", "middle"], 0, [], ["localhost", "Test intermediate"]),
        (["middle", "leaf"], 0, ["leaf_not_first"], ["localhost", "Test intermediate"]),
        (["leaf", "middle", "root"], 0, ["root_included"], ["localhost", "Test intermediate"]),
        (["leaf", "other", "middle"], 0, ["unrelated"], ["localhost", "Test intermediate"]),
        (["leaf", "middle", "middle"], 0, ["duplicate"], ["localhost", "Test intermediate"]),
        (["key", "leaf", "middle"], 0, [], ["localhost", "Test intermediate"]),
        (["leaf"], 1, ["missing_issuer"], ["localhost"]),
    ],
)
def test_what_would_be_sent_of_a_file(chain, files, given, code, expected, sent):
    made = chain(files.of(*given), "--roots", files.root.pem, "--json")
    report = json.loads(made[1])
    assert made[0] == code, report
    assert reasons(report) == expected
    subjects = [report["certificates"][i]["subject"] for i in report["sent"]]
    assert subjects == [f"CN={name}" for name in sent]
    assert report["ok"] == report["complete"] == (code == 0)


def test_a_missing_intermediate_is_taken_from_those_that_are_given(chain, files):
    leaf = files.of("leaf")
    code, out, _ = chain(leaf, "--roots", files.root.pem, "--intermediates", files.of("other", "middle"), "--json")
    report = json.loads(out)
    assert code == 0 and reasons(report) == ["added"]
    added = report["certificates"][report["sent"][1]]
    assert added["from"] == "intermediates" and added["place"] == 2
    # Several files are one chain.
    assert chain(leaf, files.of("middle"), "--roots", files.root.pem)[0] == 0


def test_the_report_in_words(chain, files):
    code, out, _ = chain(files.leaf.chain, "--roots", files.root.pem, "--name", "www.localhost")
    assert code == 0
    for part in ("CN=localhost", "issuer       CN=Test intermediate", "names        localhost, www.localhost",
                 "EC P-256", "SPKI SHA-256", "Path 1 holds", "CN=Test root", "The chain is complete."):  # fmt: skip
        assert part in out, part
    code, out, _ = chain(files.leaf.chain, "--roots", files.other_root.pem)
    assert code == 1
    assert "Path 1 fails" in out and '"CN=Test root" is not in the file' in out and "is not complete" in out
    # Without --roots they are the system's, and it says so.
    code, out, _ = chain(files.leaf.chain)
    assert code == 1 and "/etc/ssl/certs/ca-certificates.crt (the system's)" in out


def test_the_digests_are_those_of_openssl(chain, files):
    report = json.loads(chain(files.leaf.chain, "--roots", files.root.pem, "--json")[1])
    der = subprocess.run(["openssl", "x509", "-in", files.leaf.chain, "-noout", "-fingerprint", "-sha256"],
                         capture_output=True, text=True, check=True, timeout=30).stdout  # fmt: skip
    assert report["certificates"][0]["sha256"] == der.split("=")[1].strip().replace(":", "").lower()
    key = subprocess.run(
        f"openssl x509 -in '{files.leaf.chain}' -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum",
        shell=True, capture_output=True, text=True, check=True, timeout=30).stdout  # fmt: skip
    assert report["certificates"][0]["spki_sha256"] == key.split()[0]


def test_the_name_the_time_and_the_use_are_judged(chain, files):
    def ask(*words):
        code, out, _ = chain(*words, "--roots", files.root.pem, "--json")
        return code, reasons(json.loads(out))

    good = files.leaf.chain
    assert ask(good, "--name", "elsewhere.test") == (1, ["name_not_covered"])
    assert ask(files.middle.leaf("alice", client=True).chain) == (1, ["wrong_usage"])
    now = datetime.datetime.now(datetime.timezone.utc)
    late = now + datetime.timedelta(days=60)
    for text in (late.strftime("%Y-%m-%d"), late.strftime("%Y-%m-%dT%H:%M:%SZ"), f"@{int(late.timestamp())}"):
        assert ask(good, "--at", text) == (1, ["expired"] * 3), text  # the root too
    assert ask(good, "--at", "2001-01-01") == (1, ["not_yet_valid"] * 3)
    assert ask(files.middle.leaf("localhost", end=3, start=-60).chain) == (0, ["near_expiry"])


def test_wrong_input_is_told_from_a_bad_chain(chain, files, tmp_path):
    good = files.leaf.chain
    for words, code, text in (
        ([tmp_path / "none.pem"], 1, "none.pem cannot be read: No such file"),
        ([files.leaf.key], 1, "holds a private key and no certificate"),
        ([tmp_path], 1, "is a directory"),
        ([good, "--roots", files.leaf.key], 1, "holds a private key and no certificate"),
        ([good, "--intermediates", tmp_path / "none.pem"], 1, "none.pem cannot be read"),
        ([], 2, "FILE is required"),
        ([good, "--at", "yesterday"], 2, "--at: expected"),
        ([good, "--at", "@99999999999999999999"], 2, "--at: expected"),
        ([good, "--colour"], 2, "--colour"),
    ):
        made = chain(*words)
        assert made[0] == code and text in made[2] and not made[1], (words, made)
    cut = tmp_path / "cut.pem"
    cut.write_text(good.read_text()[:-200])
    assert "cannot be read from certificate 2 on" in chain(cut)[2]


# ---- the gateway ---------------------------------------------------------------------------


def served(files, chain_file: pathlib.Path, folder: pathlib.Path, **tls) -> dict:
    made = config.basic([], [], folder, tls=tls)
    made["hosts"] = [
        {
            "names": ["localhost"],
            "tls": {"certificates": [{"chain": str(chain_file), "key": str(files.leaf.key)}]},
            "routes": [{"reply": {"status": 200, "body": "here"}}],
        }
    ]
    made["upstreams"] = {}
    return made


def verified(port: int, files) -> tuple[bool, list[str]]:
    """Whether openssl, which knows the root alone, trusts what is sent; and the subjects of what is sent."""
    trusting = s_client(port, "-verify_return_error", "-CAfile", files.root.pem).stdout
    sent = re.findall(r"^ *\d+ s:CN ?= ?(.+)$", s_client(port, "-showcerts").stdout, re.M)
    return "Verify return code: 0 (ok)" in trusting, sent


def test_what_a_file_lacks_is_added_and_what_it_has_is_put_in_order(gateway, files, tmp_path):
    pool, roots = str(files.of("other", "middle")), str(files.root.pem)
    gw = gateway(served(files, files.of("leaf"), tmp_path, roots=roots))
    assert verified(gw.port(), files) == (False, ["localhost"])
    assert 'CN=Test intermediate\\" is not in the file' in gw.log()

    chain = ["localhost", "Test intermediate"]
    assert gw.reload(served(files, files.of("leaf"), tmp_path, roots=roots, intermediates=pool))
    assert verified(gw.port(), files) == (True, chain)
    assert "was added from" in gw.log()
    for order in (("leaf", "middle"), ("root", "middle", "leaf"), ("middle", "leaf", "other", "middle")):
        assert gw.reload(served(files, files.of(*order), tmp_path))
        assert verified(gw.port(), files) == (True, chain), order


def test_check_names_the_file_and_what_to_change(binary, files, tmp_path):
    def check(chain_file, **tls):
        file = tmp_path / "check.yaml"
        file.write_text(yaml.safe_dump(served(files, chain_file, tmp_path, **tls)))
        done = run(binary, "check", "-c", file)
        return done.returncode, done.stdout + done.stderr

    roots = str(files.root.pem)
    leaf = files.of("leaf")
    # A CA of one's own is not complained about as long as nobody said what roots there are.
    for good in (leaf, files.of("leaf", "middle")):
        code, said = check(good)
        assert code == 0 and "warning" not in said, said
    code, said = check(leaf, roots=roots)
    assert code == 0 and f"warning: {leaf}: the issuer of \"CN=localhost\" is missing" in said, said
    mixed = files.of("root", "leaf", "middle")
    code, said = check(mixed)
    assert code == 0 and f"warning: {mixed}: certificate 2, \"CN=localhost\", is the leaf" in said, said
    assert f"warning: {mixed}: certificate 1, \"CN=Test root\", is a root and is not sent" in said, said
    code, said = check(files.leaf.chain, roots=str(tmp_path / "none.pem"))
    assert code == 1 and re.search(r"check.yaml:\d+:\d+: error: .*none.pem cannot be read", said), said
    code, said = check(files.leaf.chain, intermediates=str(files.leaf.key))
    assert code == 1 and "holds a private key and no certificate" in said, said
