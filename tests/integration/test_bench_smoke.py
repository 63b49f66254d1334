"""The bench runs and tells the truth about what it could not measure. Its numbers are not judged here: a
machine that runs tests is no place for that.
"""

# labels: bulk

import json
import pathlib
import subprocess
import sys

BENCH = pathlib.Path(__file__).resolve().parents[1] / "bench" / "bench.py"


def run(binary, *arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-B", str(BENCH), "--quick", "--sallyport", str(binary), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


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
