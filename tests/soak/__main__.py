"""`python -m tests.soak [--rounds N] [--seed N] [--only ROUND]`: random sets under fire, and what happened."""

import argparse
import sys
import time

from tests.engine.server import NoServer
from tests.soak.checks import Broken
from tests.soak.proxy import Proxy
from tests.soak.rounds import Tally, play
from tests.soak.server import crashing_server


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="play this round and no other")
    asked = parser.parse_args()
    tally = Tally()
    began = time.monotonic()
    broken = 0
    with crashing_server() as server, Proxy(server.running.port) as proxy:
        for number in range(1, asked.rounds + 1) if asked.only is None else [asked.only]:
            try:
                play(server, proxy, asked.seed, number, tally)
            except Broken as error:
                broken += 1
                print(f"round {number} of seed {asked.seed} (--seed {asked.seed} --only {number}): {error}", flush=True)
            if number % 10 == 0:
                print(f"{number} rounds, {sum(tally.kills.values())} kills, {time.monotonic() - began:.0f} s", flush=True)
    done = f"{tally.rounds} rounds, {tally.files} files, {tally.undone} of them rolled back, {tally.runs} runs"
    print(f"{done}, {sum(tally.kills.values())} kills, {broken} broken")
    for what, count in [*sorted(tally.kills.items()), *sorted(tally.unknown.items())]:
        print(f"{count:6} {what}")
    return 1 if broken else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except NoServer as error:
        sys.exit(str(error))
