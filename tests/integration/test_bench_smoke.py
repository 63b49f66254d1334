"""The bench runs and tells the truth about what it could not measure. Its numbers are not judged here: a
machine that runs tests is no place for that.
"""

# labels: bulk
# timeout: 900

import json
import pathlib
import subprocess
import sys

from harness import scaled

BENCH = pathlib.Path(__file__).resolve().parents[1] / "bench"


def run_tool(tool, binary, *arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-B", str(BENCH / tool), "--sallyport", str(binary), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def run(binary, *arguments) -> subprocess.CompletedProcess:
    return run_tool("bench.py", binary, "--quick", *arguments)


def test_every_program_gets_a_number_for_requests_and_for_resumed_handshakes(binary, tmp_path):
    numbers = tmp_path / "numbers.json"
    done = run(binary, "--only", "h2-log", "tls13-resumed", "--json", numbers)
    assert done.returncode == 0, done.stderr
    rows = {row["row"]: row for row in json.loads(numbers.read_text())["rows"]}
    assert list(rows) == ["h2-log", "tls13-resumed"]
    for row in rows.values():
        assert all(row["medians"][name] > 1 for name in ("sallyport", "nginx", "haproxy", "nghttpx")), row
        assert all(ratio > 0 for ratio in row["ratios"].values()), row
        assert row["title"] in done.stdout


def test_a_program_that_does_not_run_is_a_dash_a_reason_and_a_failure(tmp_path):
    numbers = tmp_path / "numbers.json"
    done = run("/bin/false", "--only", "h2-h2c", "--json", numbers)
    assert done.returncode == 1
    assert "sallyport ended with status 1" in done.stderr
    assert "failed: h2-h2c" in done.stderr
    (row,) = json.loads(numbers.read_text())["rows"]
    assert row["medians"]["sallyport"] is None and row["medians"]["haproxy"] > 1
    assert "nginx" not in row["values"]  # it has no h2 towards upstreams: left out, not failed


def test_instructions_are_compared_with_what_was_recorded(binary, tmp_path):
    """Under valgrind, and so only with all tests: the packages of the others do not have it."""
    if not scaled(False, True):
        return
    file = tmp_path / "record.json"
    only = ("--only", "h1", "resumed", "--scale", "0.1", "--file", file)
    done = run_tool("instructions.py", binary, *only, "--record")
    assert done.returncode == 0 and "nothing is recorded" in done.stdout, done.stderr
    (known,) = json.loads(file.read_text()).values()
    assert known["paths"]["resumed"] > 10 * known["paths"]["h1"] > 10 * 10000
    known["paths"]["h1"] *= 2
    file.write_text(json.dumps({key: known for key in json.loads(file.read_text())}))
    done = run_tool("instructions.py", binary, *only)
    moved = {line.split()[0]: line.split()[-2] for line in done.stdout.splitlines()[2:]}
    assert -60 < float(moved["HTTP/1.1,"]) < -40 and abs(float(moved["TLS"])) < 5, done.stdout


def test_many_hosts_are_compared_with_one(binary):
    done = run_tool("hosts.py", binary, "--count", 20, "--rounds", 1, "--handshakes", 20)
    assert done.returncode == 0, done.stderr
    for row in ("start, s", "ratio of the rounds", "reload with no change", "reload with a change", "memory after 20"):
        assert f"\n{row}" in done.stdout, done.stdout
