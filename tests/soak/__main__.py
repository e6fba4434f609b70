"""python3 -m soak: runs the program under load and faults, and checks the history. `make soak` calls it.

The seed makes the load's choices and the schedule of faults; the same seed gives the same schedule.
"""

import argparse
import heapq
import itertools
import json
import os
import random
import sys
import tempfile
import time

from . import report
from .checker import check
from .faults import GAP_S, Faults, schedule
from .history import History
from .rig import Rig

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def arguments():
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=None, help="default: a random one, which is printed")
    parser.add_argument("--rate", type=float, default=120.0, help="transactions per second, about 4 changes each")
    parser.add_argument("--pg", type=int, default=15, help="major version of PostgreSQL")
    parser.add_argument("--brokers", type=int, default=1, choices=[1, 3])
    parser.add_argument("--delivery", default="", choices=["", "at_least_once", "exactly_once"])
    parser.add_argument("--faults", default=None, help="only those whose names begin with one of these, by commas; none: no faults")
    parser.add_argument("--gap", type=float, default=GAP_S, help="mean seconds between the end of a fault and the next")
    parser.add_argument("--output", default=os.path.join(ROOT, "build", "soak"), help="where the report goes")
    parser.add_argument("--check", metavar="DIRECTORY", help="checks the history of an earlier run again")
    parser.add_argument("--keep", action="store_true", help="keeps the history of a run without violations, too")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1_000_000)
    return options


def main():
    options = arguments()
    if options.check:
        sys.exit(judge(History.load(options.check), options, options.check))
    rig = Rig(tempfile.mkdtemp(prefix="outboxx-soak-"), options)
    print(f"soak: seed {options.seed}, {options.minutes:g} minutes, {options.delivery or 'at_least_once'}, PostgreSQL {options.pg},"
          f" {options.brokers} broker(s), history in {rig.directory}", flush=True)
    failed = True
    try:
        rig.start()
        run(rig, options)
        rig.finish()
        failed = judge(History.load(rig.directory), options, rig.directory)
    finally:
        rig.close()
        if failed:
            print(f"soak: FAILED, seed {options.seed}; kept: {rig.directory}", flush=True)
        elif not options.keep:
            rig.remove()
    sys.exit(failed)


def run(rig, options):
    """Lets the time pass, and the faults happen in it."""
    seconds = options.minutes * 60
    kinds = None if options.faults is None else [name for name in options.faults.split(",") if name != "none"] or ["no such fault"]
    faults = Faults(rig)
    order = itertools.count()
    agenda = [(planned.at, next(order), "begin", planned) for planned in schedule(options.seed, seconds, kinds, options.brokers, options.gap)]
    heapq.heapify(agenda)
    began = time.monotonic()
    while agenda:
        at, _, what, planned = heapq.heappop(agenda)
        if at >= seconds and what == "begin":
            continue
        time.sleep(max(0.0, began + at - time.monotonic()))
        if what == "begin":
            if planned.kind.operator and rig.operators[planned.kind.operator].is_behind:
                print(f"{at:7.1f} s  not {planned.kind.name}: its operator is behind", flush=True)
                continue
            print(f"{at:7.1f} s  {planned.kind.name}" + (f" for {planned.lasts:g} s" if planned.lasts else ""), flush=True)
            do(rig, planned, faults.begin)
            if planned.kind.most:
                heapq.heappush(agenda, (at + planned.lasts, next(order), "end", planned))
        else:
            do(rig, planned, faults.end)
    time.sleep(max(0.0, began + seconds - time.monotonic()))
    for operator in rig.operators.values():
        operator.call(lambda: None)  # what was begun is over
    faults.heal()
    for operator in rig.operators.values():
        for failure in operator.failures:
            raise failure


def do(rig, planned, function):
    """What takes its time is done by an operator."""
    if planned.kind.operator:
        rig.operators[planned.kind.operator].post(lambda: function(planned))
    else:
        function(planned)


def judge(history, options, directory):
    """Checks, prints, writes the report; True if anything is wrong."""
    violations = check(history)
    told = report.summary(history, violations, options)
    report.write(options.output, told, history.samples)
    shown = {name: told[name] for name in ("transactions", "changes", "records", "duplicates", "status_updates", "sessions", "starts",
                                           "drained_s", "exits", "rss_peak_bytes")}
    print(f"soak: {sum(told['faults'].values())} faults; {json.dumps(shown)}")
    for kind, times in told["recovery_s"].items():
        print(f"      recovery, {kind}: {json.dumps(times)}; alone: {json.dumps(told['recovery_alone_s'].get(kind, {}))}")
    for name in ("black_hole_found_s", "repeated_after_sigkill", "age_of_repeated_s"):
        print(f"      {name.replace('_', ' ')}: {json.dumps(told[name])}")
    for name, found in violations.items():
        print(f"      {'FAILED' if found else 'ok'} {name}" + (f": {len(found)} violations" if found else ""))
        for line in found[:3]:
            print(f"          {line[:400]}")
    failed = any(violations.values())
    print(f"soak: {'violations' if failed else 'no violations'}, seed {options.seed}; report in {options.output}; history in {directory}",
          flush=True)
    return failed


if __name__ == "__main__":
    main()
