"""The first rounds of `make soak`: random sets whose runner, connection or server is killed take effect exactly once."""

from tests.soak.proxy import Proxy
from tests.soak.rounds import Tally, play
from tests.soak.server import crashing_server

ROUNDS = 12
"""Every fourth is rolled back, too."""


def test_random_sets_under_fire_take_effect_exactly_once() -> None:
    """Each round checks itself; `python -m tests.soak --seed 1 --only N` plays round N again."""
    tally = Tally()
    with crashing_server() as server, Proxy(server.running.port) as proxy:
        for number in range(1, ROUNDS + 1):
            play(server, proxy, 1, number, tally, back=number % 4 == 0)
    assert tally.rounds == ROUNDS
    assert sum(tally.kills.values()) >= ROUNDS
