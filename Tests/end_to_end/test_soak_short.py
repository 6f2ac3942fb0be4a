"""A short soak: 15 seconds of what `tox run -e soak` does in 10 minutes."""

import subprocess
import sys

from Tests.sandbox.descriptor import ROOT

SEED = 4711


def soak(*words: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "Tests.soak", "--seed", SEED, *words]
    return subprocess.run(
        list(map(str, command)), cwd=ROOT, capture_output=True, text=True, timeout=150, check=False
    )


def test_mixed_traffic_with_faults_balances_and_fuzzed_bytes_upset_nobody() -> None:
    done = soak("--minutes", 0.2, "--inputs", 1000)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "incidents acknowledged" in done.stdout
    assert "fuzzed inputs: 1000" in done.stdout
    assert done.stdout.count(" s of 12") >= 3  # it reports progress


def test_senseless_amounts_are_refused() -> None:
    assert soak("--minutes", -1).returncode == 2
