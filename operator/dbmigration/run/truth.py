"""Whether the schema is still what migrations made, before a run; what it is after one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from dbmigration.api.reasons import Reason
from dbmigration.catalog import store
from dbmigration.errors import DbmigrationError, Permanent
from dbmigration.migrations.model import DriftChoice, History, HistoryTable
from dbmigration.postgres.history import read_history
from dbmigration.postgres.session import Session
from dbmigration.run.options import DriftPolicy
from dbmigration.run.result import RunResult

if TYPE_CHECKING:
    from dbmigration.catalog.compare import Drift
    from dbmigration.catalog.model import Snapshot

_NAMED: Final = 5
"""Differences that an error or a log line names; the rest is counted."""


class Checked(NamedTuple):
    """What a look at the schema found.

    `expected` and `actual` are there only where the two differ, which a run has to know to tell its own changes from theirs. `compared`
    False: there was nothing to compare with, and `note` says why (None: it is the first run).
    """

    drift: "tuple[Drift, ...]" = ()
    note: str | None = None
    compared: bool = False
    expected: "Snapshot | None" = None
    actual: "Snapshot | None" = None


@dataclass(frozen=True, slots=True)
class Truth:
    """One database, its history table and what a person chose about drift."""

    session: Session
    table: HistoryTable
    policy: DriftPolicy
    ignore: tuple[str, ...]
    run_id: str

    @contextmanager
    def kept(self, history: History, result: RunResult, say: Callable[[str], None]) -> Iterator[None]:
        """Compare before the body runs; afterwards, whatever became of it, store what the next run will expect.

        The drift goes into the result. Raises Permanent SCHEMA_DRIFTED where the policy is to refuse.
        """
        if self.policy is DriftPolicy.OFF:
            yield
            return
        checked = self.check(history)
        _tell(checked, result, say)
        self.refuse(result)
        try:
            yield
        except DbmigrationError:
            if result.executed_sql:
                self._try_to_store(checked, say)
            raise
        if result.executed_sql or result.adopted or not checked.compared:
            self._try_to_store(checked, say)

    def look(self, history: History, result: RunResult, say: Callable[[str], None]) -> None:
        """Compare, write nothing, and put the drift into the result."""
        if self.policy is DriftPolicy.OFF:
            return
        checked = self.check(history, confirm=False)
        if not checked.compared and checked.note is None:
            checked = Checked(note="no run has recorded the schema yet: there is nothing to compare with")
        _tell(checked, result, say, named=len(checked.drift))

    def compare_with(self, made: "Snapshot", result: RunResult, say: Callable[[str], None]) -> None:
        """Compare with a schema that the files alone made, and put what differs into the result. Raises as `Session.query` does."""
        from dbmigration.catalog.compare import compare
        from dbmigration.catalog.snapshot import take_snapshot

        drift = compare(made, take_snapshot(self.session, self.table), ignore=self.ignore)
        _tell(Checked(drift, compared=True), result, say, named=len(drift), beside="what the files make")

    def refuse(self, result: RunResult) -> None:
        """Raises Permanent SCHEMA_DRIFTED for the result's drift where that is the policy."""
        if result.drift and self.policy is DriftPolicy.REFUSE:
            raise drifted(result.drift)

    def check(self, history: History, *, confirm: bool = True) -> Checked:
        """Compare the schema with the one that the last run left. A few milliseconds when nothing at all has changed.

        `confirm`: a close look that found no difference is remembered; False writes nothing. What cannot be compared is a note and never
        an error, but for a connection that is lost.
        """
        try:
            return self._check(history, confirm=confirm)
        except DbmigrationError as error:
            if self.session.connection.closed:
                raise
            return Checked(note=f"the schema was not compared: {error.message}", compared=True)

    def accept(self, history: History) -> None:
        """Store the schema as it is now: it is what the next run expects. Raises as `Session.query` does."""
        from dbmigration.catalog.snapshot import take_with_fingerprint

        if not self._has_our_tables():
            raise Permanent(Reason.HISTORY_FOREIGN, "nothing was ever applied here: the first `dbmigration apply` records the schema")
        now, mark = take_with_fingerprint(self.session, self.table)
        key = store.history_key(history)
        store.keep(self.session, self.table, now, mark=mark, key=key, version=_newest(history), run_id=self.run_id)

    def _check(self, history: History, *, confirm: bool) -> Checked:
        stored = store.newest(self.session, self.table)
        if stored is None:
            return Checked()
        if stored.history_key != store.history_key(history):
            return Checked(note="the last run ended before it could record the schema, or one is under way: it is not compared this time")
        if stored.unchanged:
            return Checked(compared=True)
        from dbmigration.catalog.compare import compare
        from dbmigration.catalog.snapshot import take_with_fingerprint

        expected = store.read(self.session, stored)
        actual, mark = take_with_fingerprint(self.session, self.table)
        if not actual.is_comparable_to(expected):
            was = f"PostgreSQL {expected.major}" if actual.major != expected.major else "another version of this tool"
            return Checked(note=f"the schema was recorded by {was}: it is not compared this time")
        if expected.objects == actual.objects:
            if confirm:
                store.confirm(self.session, stored, mark)
            return Checked(compared=True)
        return Checked(compare(expected, actual, ignore=self.ignore), compared=True, expected=expected, actual=actual)

    def _try_to_store(self, checked: Checked, say: Callable[[str], None]) -> None:
        """What the run did is done: that its trace could not be written is said, and fails nothing."""
        try:
            self._store(checked)
        except DbmigrationError as error:
            say(f"the schema could not be recorded, so the next run will not compare it: {error.message}")

    def _store(self, checked: Checked) -> None:
        from dbmigration.catalog.model import merge
        from dbmigration.catalog.snapshot import take_with_fingerprint

        if not self._has_our_tables():
            return
        history = read_history(self.session, self.table)
        now, mark = take_with_fingerprint(self.session, self.table)
        expected = now
        if checked.expected is not None and checked.actual is not None:
            # What somebody changed by hand stays a difference until it is undone or accepted, however many runs come after.
            expected = merge(checked.expected, checked.actual, now)
        store.keep(
            self.session,
            self.table,
            expected,
            mark=mark if expected.objects == now.objects else None,
            key=store.history_key(history),
            version=_newest(history),
            run_id=self.run_id,
        )

    def _has_our_tables(self) -> bool:
        """False where nothing was ever applied."""
        return bool(self.session.query("SELECT pg_catalog.to_regclass('dbmigration.meta') IS NOT NULL")[0][0])


def policy_of(asked: DriftPolicy | None, choice: DriftChoice) -> DriftPolicy:
    """What was asked for, else what dbmigration.toml says, else to report."""
    return asked or (DriftPolicy(choice.policy) if choice.policy else DriftPolicy.REPORT)


def drifted(drift: "tuple[Drift, ...]") -> Permanent:
    return Permanent(
        Reason.SCHEMA_DRIFTED,
        f"the schema is not what migrations made: {summary(drift)}. Undo it, or write a migration for it, or accept it with "
        "`dbmigration drift --accept`",
    )


def summary(drift: "tuple[Drift, ...]") -> str:
    named = "; ".join(str(each) for each in drift[:_NAMED])
    return named + (f" and {len(drift) - _NAMED} more" if len(drift) > _NAMED else "")


def _newest(history: History) -> str | None:
    """The digits of the newest applied file, as written in its name."""
    versions = [row.name.partition("_")[0] for row in history.applied]
    return max((version for version in versions if version.isdecimal()), key=int, default=None)


def _tell(checked: Checked, result: RunResult, say: Callable[[str], None], *, named: int = _NAMED, beside: str | None = None) -> None:
    result.drift, result.drift_note = checked.drift, checked.note
    result.schema_compared = checked.compared and checked.note is None
    if checked.note:
        say(checked.note)
    if not checked.drift:
        return
    number = f"{len(checked.drift)} difference{'' if len(checked.drift) == 1 else 's'}"
    what = f"between the schema and {beside}" if beside else "in the schema, not by a migration"
    lines = [f"{number} {what}:", *(f"  {each}" for each in checked.drift[:named])]
    if len(checked.drift) > named:
        lines.append(f"  and {len(checked.drift) - named} more: `dbmigration drift` names them all")
    say("\n".join(lines))
