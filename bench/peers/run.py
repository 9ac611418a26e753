"""`make bench-peers`: Keybearer and its peers at the same work, in one run.

Each is a real server with one worker, pinned to one core; the load and PostgreSQL have the other. Figures are medians
of rounds in which everybody has a turn. An answer other than 2xx ends the run. `--record` writes docs/peers-compared.md
and its picture.
"""

import argparse
import sys

from bench.peers.contenders import all_contenders
from bench.peers.measure import Result, measure
from bench.peers.report import ratios, table, write


def main() -> int:
    arguments = _arguments()
    with all_contenders(arguments.rounds) as contenders:
        results = [Result(contender) for contender in contenders]
        for turn in range(arguments.rounds):
            print(f"round {turn + 1} of {arguments.rounds}", flush=True)
            for result in (*results[turn:], *results[:turn]):
                measure(result, turn, arguments.seconds)
    print(f"\n{table(results)}\n\n{ratios(results)}")
    if arguments.record:
        write(results, arguments.rounds, arguments.seconds)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="write docs/peers-compared.md and its picture")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender (3)")
    parser.add_argument("--seconds", type=int, default=3, help="seconds of each load; a login's is twice as long (3)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
