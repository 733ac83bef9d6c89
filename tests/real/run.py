#!/usr/bin/env python3
"""Runs the cases: run.py --bin DIR --program FILE --homes DIR [--keep] [--jobs N] [--limit S] [CASE...]

A CASE is the beginning of a name. One line for each, at the end `N passed, N failed`; exit code 1 if any failed."""
import argparse
import concurrent.futures
import ctypes
import fcntl
import os
import socket
import struct
import sys
import threading
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from cases import CASES             # noqa: E402
from world import World, Wrong      # noqa: E402

PRINT = threading.Lock()


def loopback_up():
    """In a fresh network namespace even the loopback interface is down."""
    up, set_flags = 1, 0x8914
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, set_flags, struct.pack("16sh14x", b"lo", up))
    # An ordinary user had the power to do that lent; whatever we start must not have it.
    pr_cap_ambient, clear_all = 47, 4
    ctypes.CDLL(None, use_errno=True).prctl(pr_cap_ambient, clear_all, 0, 0, 0)


def alone():
    """Whether nothing but the loopback interface is there."""
    return [name for _, name in socket.if_nameindex()] == ["lo"]


def one(name, options, end):
    if time.monotonic() > end:
        return report(name, False, 0, "not begun: the time for all cases is over", options)
    began = time.monotonic()
    world = World(name, options.homes, options.bin, options.program)
    good, note = True, ""
    try:
        note = CASES[name](world) or ""
        world.nothing_runs()
    except Wrong as wrong:
        good, note = False, str(wrong)
    except Exception:
        good, note = False, traceback.format_exc()
    finally:
        world.close(options.keep)
    return report(name, good, time.monotonic() - began, note, options, world)


def report(name, good, seconds, note, options, world=None):
    with PRINT:
        print("%-6s %-32s %6.1f s  %s" % ("ok" if good else "FAILED", name, seconds, note if good else ""))
        if not good:
            print("       " + note.rstrip().replace("\n", "\n       "))
        if options.keep and world:
            print("       kept: %s and %s" % (world.dir, world.root))
        sys.stdout.flush()
    return good


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--bin", required=True, help="where claude, codex and gemini are")
    p.add_argument("--program", required=True, help="the ai_orch to test")
    p.add_argument("--homes", required=True, help="where the homes of the cases go")
    p.add_argument("--keep", action="store_true", help="keep the homes")
    p.add_argument("--jobs", type=int, default=3, help="cases at a time; most of their time they wait")
    p.add_argument("--limit", type=int, default=1500, help="seconds for all of it")
    p.add_argument("cases", nargs="*", metavar="CASE")
    options = p.parse_args()
    chosen = [n for n in CASES if not options.cases or any(n.startswith(c) for c in options.cases)]
    if not chosen:
        p.error("no such case; there are: " + ", ".join(CASES))
    loopback_up()
    if not alone():
        p.error("this must run without a network (unshare -n): the agent CLIs are real")
    os.makedirs(options.homes, exist_ok=True)
    # A case that only begins when the time is over would end too late.
    end = time.monotonic() + options.limit - 150
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(lambda name: one(name, options, end), chosen))
    print("%d passed, %d failed" % (results.count(True), results.count(False)))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
