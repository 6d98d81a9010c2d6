"""Rollback scripts of a random set, and what a database must look like when each of their statements took effect exactly once."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.soak.sets import BUMP, Check, RandomSet

_TOUCHED = ("marks", "marks of schema side", "counter")
"""What the scripts undo; the checks of all else go on holding."""


@dataclass(frozen=True)
class Undoing:
    """`to`: the version that is gone back to. `kept` and `gone`: names of migrations, both in the order of the files."""

    to: str
    files: dict[str, str]
    kept: list[str]
    gone: list[str]
    checks: list[Check]
    messages: int
    concurrently: bool

    def write(self, directory: Path) -> None:
        for name, text in self.files.items():
            (directory / name).write_text(text)


def random_undoing(rng: random.Random, done: RandomSet) -> Undoing:
    """Of all files but the first, which makes what the scripts write to, or of the newest of them."""
    return _Writer(rng, done).write()


@dataclass
class _Writer:
    rng: random.Random
    done: RandomSet
    undone: list[str] = field(default_factory=list)
    indexes: list[str] = field(default_factory=list)
    messages: int = 12
    concurrently: bool = False
    _count: int = 0

    def write(self) -> Undoing:
        names = self.done.migrations
        left = self.rng.randint(1, len(names) - 1)
        kept, gone = names[:left], names[left:]
        files = {f"rollback-{name[:3]}.sql": self._script(name) for name in reversed(gone)}
        return Undoing(names[left - 1][:3], files, kept, gone, self._checks(gone), self.messages, self.concurrently)

    def _script(self, name: str) -> str:
        """Not one of its statements may run twice, whatever it would do alone."""
        bumps = self.done.files[name].count(BUMP)
        pieces = [f"DELETE FROM {table} WHERE label LIKE '{int(name[:3])}.%';\n" for table in ("public.marks", "side.marks")]
        pieces += ["UPDATE public.counter SET n = n - 1;\n"] * bumps
        pieces += [self._mark() for _ in range(self.rng.randint(1, 4))]
        stepwise = self.rng.random() < 0.6
        if stepwise:
            pieces += [self._alone() for _ in range(self.rng.randint(1, 3))]
        self.rng.shuffle(pieces)
        self.messages += 4 + (3 * len(pieces) if stepwise else 0)
        return ("-- Transaction: none\n" if stepwise else "") + "".join(pieces)

    def _mark(self) -> str:
        self._count += 1
        self.undone.append(f"undone {self._count}")
        return f"INSERT INTO public.undone VALUES ('undone {self._count}');\n"

    def _alone(self) -> str:
        choices: list[Callable[[], str]] = [self._index, self._index, lambda: "VACUUM items;\n", lambda: "REINDEX INDEX items_pkey;\n"]
        return self.rng.choice(choices)()

    def _index(self) -> str:
        self._count += 1
        self.concurrently = True
        self.messages += 4
        self.indexes.append(f"((id + {self._count}))")
        name = f"undone_{self._count} " if self.rng.random() < 0.6 else ""
        return f"CREATE INDEX CONCURRENTLY {name}ON public.items ((id + {self._count}));\n"

    def _checks(self, gone: list[str]) -> list[Check]:
        numbers = {str(int(name[:3])) for name in gone}
        bumps = sum(self.done.files[name].count(BUMP) for name in gone)
        checks = [check for check in self.done.checks if check.what not in _TOUCHED]
        for check in self.done.checks:
            if check.what in _TOUCHED[:2]:
                rows = [row for row in check.rows if str(row[0]).partition(".")[0] not in numbers]
                checks.append(Check(check.what, check.query, rows))
            elif check.what in _TOUCHED:
                ((counter,),) = check.rows
                assert isinstance(counter, int)
                checks.append(Check(check.what, check.query, [(counter - bumps,)]))
        return [
            *checks,
            Check(
                "marks of the scripts",
                "SELECT label, count(*) FROM undone GROUP BY 1 ORDER BY 1",
                [(each, 1) for each in sorted(self.undone)],
            ),
            Check(
                "indexes of the rollback scripts",
                "SELECT substring(indexdef FROM '\\(\\(id [+] \\d+\\)\\)') AS e FROM pg_indexes WHERE indexdef LIKE '%((id + %' ORDER BY 1",
                [(each,) for each in sorted(self.indexes)],
            ),
        ]
