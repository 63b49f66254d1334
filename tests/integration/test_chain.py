"""A chain that clients refuse is found at the desk and not by the clients: `sallyport chain` on the files
that people make, and what the gateway makes of the same files."""

import datetime
import json
import pathlib
import subprocess

import pytest
from harness.certs import Authority


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
