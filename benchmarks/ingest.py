"""What a depth frame costs from the socket to history's columns, as a ratio to the floor of the same run.

``python benchmarks/ingest.py`` floods and paces 20-level depth frames of each venue over loopback, one
process and one core a client, roles in turn, and prints CPU microseconds a message (best of the rounds),
ratios and peak memory. Bounds: flooded, ctcore costs at most 5.5 times the floor (receive, split, typed
decode); paced, at most 1.8 times a bare trio receive. The exit status is 1 when a bound is broken.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import TypeAlias

HERE = Path(__file__).parent
BOUND_FLOOD, BOUND_PACED = 5.5, 1.8
Figures: TypeAlias = dict[str, dict[str, float]]
"""Role -> CPU microseconds a message and peak memory."""


def measure(role: str, venue: str, port: int, frames: int) -> dict[str, float]:
    """Run one client and return its figures."""
    command = [sys.executable, str(HERE / "ingest_clients.py"), role, venue, str(port), str(frames)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    if done.returncode:
        raise SystemExit(f"{role} {venue} failed:\n{done.stderr}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def compare(venue: str, roles: tuple[str, str], frames: int, pace_us: int, rounds: int) -> Figures:
    """Both roles in turn against one feeder; the best round of each."""
    command = [sys.executable, str(HERE / "feeder.py"), venue, str(frames), str(pace_us)]
    best: Figures = {}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as feeder:
        assert feeder.stdout is not None
        assert feeder.stdin is not None
        port = int(feeder.stdout.readline())
        for _ in range(rounds):
            for role in roles:
                figures = measure(role, venue, port, frames)
                if role not in best or figures["us"] < best[role]["us"]:
                    best[role] = figures
        feeder.stdin.close()
    return best


def report(venue: str, way: str, roles: tuple[str, str], best: Figures, bound: float) -> bool:
    """Print one comparison; True when the bound holds."""
    base, ours = best[roles[0]], best[roles[1]]
    ratio = ours["us"] / base["us"]
    print(
        f"{venue:<8} {way:<6} {roles[0]:<6}{base['us']:7.2f} us   ctcore{ours['us']:7.2f} us   "
        f"ratio {ratio:.2f} (bound {bound})   peak {ours['rss_mb']:.0f} MB"
    )
    return ratio <= bound


def main() -> int:
    """Parse the command line, measure, report."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--venues", nargs="+", default=["binance", "okx"])
    parser.add_argument("--frames", type=int, default=40_000, help="flooded frames (default %(default)s)")
    parser.add_argument("--paced-frames", type=int, default=1_500, help="(default %(default)s)")
    parser.add_argument("--pace-us", type=int, default=2_000, help="between them (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, roles in turn (default %(default)s)")
    options = parser.parse_args()
    held = True
    for venue in options.venues:
        roles = "floor", "shipped"
        best = compare(venue, roles, options.frames, 0, options.rounds)
        held &= report(venue, "flood", roles, best, BOUND_FLOOD)
        roles = "bare", "shipped"
        best = compare(venue, roles, options.paced_frames, options.pace_us, options.rounds)
        held &= report(venue, "paced", roles, best, BOUND_PACED)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
