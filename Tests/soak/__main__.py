"""The command line of the long tests; `python -m Tests.soak --help`."""

import argparse
import sys
import time

from Tests.sandbox import Sandbox

from .fuzz import Fuzz
from .traffic import Traffic


def say(text: str) -> None:
    """Print progress."""
    print(text, flush=True)


def soak(minutes: float, seed: int) -> list[str]:
    """Run the traffic, print its figures, and return what went wrong."""
    params = {"store_samples": True, "duplication_key": "n", "keep_unreadable": False}
    with Sandbox(params=params, heartbeat_interval=1) as sandbox:
        traffic = Traffic(sandbox, minutes * 60, seed, say)
        wrong = traffic.run()
        for line in traffic.figures():
            say(f"  {line}")
    return wrong


def fuzz(inputs: int, seed: int) -> list[str]:
    """Run the fuzzing, print its figures, and return what went wrong."""
    with Sandbox(params={"store_samples": True, "keep_unreadable": False}) as sandbox:
        run = Fuzz(sandbox, inputs, seed, say)
        wrong = run.run()
        for line in run.figures():
            say(f"  {line}")
    return wrong


def main() -> int:
    """Run what the arguments ask for; 1 if anything went wrong."""
    parser = argparse.ArgumentParser(prog="python -m Tests.soak", description=__doc__)
    parser.add_argument(
        "--minutes",
        type=float,
        default=10,
        help="of mixed traffic with faults (default: 10, 0 for none)",
    )
    parser.add_argument(
        "--inputs", type=int, default=100_000, help="fuzzed requests (default: 100,000, 0 for none)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=int(time.time()) % 10**6,
        help="repeats the senders and faults of an earlier run",
    )
    options = parser.parse_args()
    if (
        options.minutes < 0
        or options.inputs < 0
        or options.minutes > 24 * 60
        or options.inputs > 10**8
    ):
        parser.error("minutes are 0 to 1440, inputs 0 to 100,000,000")
    say(f"seed {options.seed}")
    wrong: list[str] = []
    if options.minutes:
        say(
            f"Traffic: {options.minutes:g} minutes of good, bad, slow and interrupted senders "
            "while XSOAR fails at random."
        )
        wrong += soak(options.minutes, options.seed)
    if options.inputs:
        say(f"Fuzzing: {options.inputs} inputs on sockets.")
        wrong += fuzz(options.inputs, options.seed)
    for text in wrong:
        say(f"WRONG: {text}")
    say("Something is wrong." if wrong else "All is well.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
