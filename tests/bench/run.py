#!/usr/bin/env python3
"""Measures: run.py --base DIR --program FILE [--pairs N] [--rounds N] [--large] [--json FILE] [--peer LINE]... [CASE...]

DIR/bin holds the programs built from hello.rs, mark.c, claims.rs and mail.rs. A CASE is starts, list, claims, mail, rest, resume, small, medium, large,
ready, crowd or clean; none: all of them. Exit code 1 if a target is missed."""
import argparse
import json
import os
import platform
import shlex
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from cases import Skipped, all_cases    # noqa: E402
from world import World, Wrong          # noqa: E402

@dataclass
class Peer:
    """Somebody else's program, and its words for what is measured; an empty one is not measured."""
    name: str
    version: list
    list: list
    start: list

    @classmethod
    def of(cls, line):
        name, *words = (part.strip() for part in line.split("|"))
        if len(words) != 3:
            raise SystemExit(f"bench: a peer is NAME | VERSION | LIST | START, not: {line}")
        return cls(name, *(shlex.split(w) for w in words))


def first_line(*words):
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=20).stdout.strip().split("\n")[0]
    except OSError:
        return "not installed"


def sync_ms(directory):
    """What one small synced write costs here: every start makes several."""
    path, took = Path(directory) / "sync", []
    for _ in range(21):
        with open(path, "ab", buffering=0) as file:
            file.write(b"x" * 200)
            before = time.monotonic()
            os.fsync(file.fileno())
            took.append((time.monotonic() - before) * 1e3)
    path.unlink()
    return round(statistics.median(took), 3)


def machine(options):
    cpu = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
           if line.startswith("model name")]
    return {
        "cores": os.cpu_count(), "cpu": cpu[0] if cpu else platform.machine(), "kernel": platform.release(),
        "file_system": first_line("stat", "-f", "-c", "%T", str(options.base)), "sync_ms": sync_ms(options.base),
        "git": first_line("git", "--version"), "tmux": first_line("tmux", "-V"), "rustc": first_line("rustc", "--version"),
        "ai_orch": first_line(options.program, "--version"), "size": Path(options.program).stat().st_size,
        "load": round(os.getloadavg()[0], 2),
    }


def number(value, unit):
    if value is None:
        return "-"
    return f"{value:.2f}" if unit in ("ms", "%") and value < 100 else f"{value:.0f}"


COLUMNS = "{:<38} {:>10} {:>10} {:>6} {:>14} {:<7} {}"


def show(result):
    if isinstance(result, Skipped):
        print(COLUMNS.format(result.case, "", "", "", "", "skipped", result.why), flush=True)
        return
    ratio = result.ratio()
    verdict = "" if result.allowed() is None else "ok" if result.ok() else "OVER"
    print(COLUMNS.format(
        f"{result.case}{', ' + result.unit if result.unit else ''}", number(result.floor_median(), result.unit),
        number(result.median(), result.unit), "-" if ratio is None else f"{ratio:.2f}", result.target(), verdict,
        result.floor_what).rstrip(), flush=True)


def as_json(result):
    if isinstance(result, Skipped):
        return {"case": result.case, "skipped": result.why}
    return {
        "case": result.case, "unit": result.unit, "target": result.target(), "allowed": result.allowed(), "ok": result.ok(),
        "ratio": result.ratio(), "ours": {"median": result.median(), "samples": result.ours},
        "floor": {"what": result.floor_what, "median": result.floor_median(), "samples": result.floor} if result.floor else None,
    }


def ended_from_outside(*_):
    """An end like any other: what was started is ended, and nobody who asks again cuts that short."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


def main():
    parse = argparse.ArgumentParser()
    parse.add_argument("--base", required=True)
    parse.add_argument("--program", required=True)
    parse.add_argument("--pairs", type=int, default=15)
    parse.add_argument("--resumes", type=int, default=3)
    parse.add_argument("--rounds", type=int, default=40)
    parse.add_argument("--large", action="store_true")
    parse.add_argument("--json")
    parse.add_argument("--peer", action="append", default=[], type=Peer.of)
    parse.add_argument("only", nargs="*")
    options = parse.parse_args()
    signal.signal(signal.SIGTERM, ended_from_outside)
    report = {"machine": machine(options), "pairs": options.pairs, "results": []}
    print("  ".join(f"{key} {value}" for key, value in report["machine"].items()))
    print(f"{options.pairs} pairs, medians\n")
    print(COLUMNS.format("case", "floor", "ours", "ratio", "target", "", "the floor"))
    missed = 0
    world = World(options.base, options.program)
    try:
        for name, results in all_cases(world, options, options.peer):
            if options.only and name not in options.only:
                continue
            for result in results:
                show(result)
                report["results"].append(as_json(result))
                missed += not isinstance(result, Skipped) and not result.ok()
    except Wrong as wrong:
        print(f"bench: {wrong}", file=sys.stderr)
        return 3
    finally:
        world.close()
        if options.json:
            report["machine"]["load_after"] = round(os.getloadavg()[0], 2)
            Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    print(f"\n{missed} over target" if missed else "\nevery target is met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
