"""Messages and COPY data that go wrong on their way: what the caller hears, and that the session is as good as before."""

from collections.abc import Callable, Iterator
from itertools import chain, repeat

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent, Transient
from dbmigration.postgres.session import Session
from dbmigration.postgres.wire import Answer, copy_in, send
from tests.engine.conftest import Database

COPY = b"COPY t FROM STDIN"
ASKS: tuple[Callable[[Session], Answer], ...] = (lambda s: send(s, b"SELECT 1"), lambda s: copy_in(s, COPY, (b"1\n",)))


def test_copy_into_what_is_not_there_reads_no_data(database: Database) -> None:
    asked: list[int] = []

    def data() -> Iterator[bytes]:
        asked.append(1)
        yield b"1\n"

    with database.connect() as session:
        answer = copy_in(session, COPY, data())
        assert asked == []
        assert (answer.completed, answer.error and answer.error.sqlstate) == (0, "42P01")
        assert session.query("SELECT 1") == [(1,)]


def test_data_that_cannot_be_read_on_leave_no_row(database: Database) -> None:
    error = Permanent(Reason.SOURCE_INVALID, "the data never end")
    database.psql("CREATE TABLE t (n int); GRANT ALL ON t TO PUBLIC")

    def breaking() -> Iterator[bytes]:
        yield b"1\n"
        raise error

    with database.connect() as session:
        with pytest.raises(Permanent) as caught:
            copy_in(session, COPY, breaking())
        assert caught.value is error
        assert session.query("SELECT count(*) FROM t") == [(0,)]


def test_a_stop_between_two_chunks_leaves_no_row(database: Database) -> None:
    database.psql("CREATE TABLE t (n int); GRANT ALL ON t TO PUBLIC")
    with database.connect() as session:

        def stopped() -> Iterator[bytes]:
            yield b"1\n"
            session.stop.set()
            yield b"2\n"

        answer = copy_in(session, COPY, stopped())
        assert answer.error is not None
        assert answer.error.sqlstate == "57014"
    assert database.psql("SELECT count(*) FROM t") == "0"


def test_a_stop_that_came_before_sends_nothing(database: Database) -> None:
    with database.connect() as session:
        session.stop.set()
        for ask in ASKS:
            with pytest.raises(Transient) as caught:
                ask(session)
            assert caught.value.reason is Reason.INTERRUPTED


@pytest.mark.parametrize("ask", ASKS, ids=["send", "copy"])
def test_a_connection_that_is_gone_is_an_answer(database: Database, ask: Callable[[Session], Answer]) -> None:
    with database.connect() as session:
        session.connection.close()
        answer = ask(session)
        assert answer.error is not None
        assert (answer.completed, answer.error.sqlstate) == (0, None)


def test_copy_in_a_message_without_data_fails_and_the_session_lives(database: Database) -> None:
    with database.connect() as session:
        session.query("CREATE TABLE t (n int)")
        answer = send(session, b"SELECT 1; COPY t FROM STDIN; SELECT 2")
        assert (answer.completed, answer.error and answer.error.sqlstate) == (1, "57014")
        assert session.query("SELECT 1") == [(1,)]


def test_rows_of_copy_to_stdout_that_come_slowly_are_let_go(database: Database) -> None:
    with database.connect() as session:
        answer = send(session, b"COPY (SELECT repeat('x', 20000), pg_sleep(0.1) FROM generate_series(1, 4)) TO STDOUT; SELECT 1")
        assert (answer.completed, answer.error) == (2, None)


def test_a_message_bigger_than_any_buffer_arrives(database: Database) -> None:
    with database.connect() as session:
        rows: list[tuple[int, bytes | None]] = []
        message = b"SELECT pg_sleep(0.2); SELECT length('" + b"x" * 30_000_000 + b"')"
        answer = send(
            session, message, lambda number, result: rows.extend((number, result.get_value(at, 0)) for at in range(result.ntuples))
        )
        assert (answer.completed, answer.error) == (2, None)
        assert rows == [(0, b""), (1, b"30000000")]


def test_what_the_server_says_while_data_are_still_on_their_way_is_taken(database: Database) -> None:
    """Else both sides would wait for the other to read."""
    database.psql("CREATE TABLE t (n int); GRANT ALL ON t TO PUBLIC")
    with database.connect() as session:
        answer = copy_in(session, COPY, chain([b"no number\n"], repeat(b"1\n" * 500_000, 20)))
        assert answer.error is not None
        assert answer.error.sqlstate == "22P02"
        assert session.query("SELECT count(*) FROM t") == [(0,)]
