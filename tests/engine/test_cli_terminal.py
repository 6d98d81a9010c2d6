"""The command at a terminal: signals, tables, bars and questions."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.engine.command_line import COMMAND, WITHIN_S, environment_of, staging, tables, three_migrations
from tests.engine.conftest import Database
from tests.engine.server import wait_until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return three_migrations(tmp_path)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_rolls_the_running_file_back_and_says_what_is_applied(
    database: Database, folder: Path, number: signal.Signals, status: int
) -> None:
    (folder / "002_two.sql").write_text("CREATE TABLE two ();\nSELECT pg_sleep(600);\n")
    with subprocess.Popen(
        [*COMMAND, "apply", *staging(folder)],
        env=environment_of(database),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        sleeping = (
            "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND state = 'active' AND wait_event = 'PgSleep'"
        )
        wait_until(lambda: database.psql(sleeping) == "t", "the file runs")
        running.send_signal(number)
        out, err = running.communicate(timeout=WITHIN_S)
    assert running.returncode == status, err
    assert tables(database) == "one"
    assert "applied 001_one.sql" in out
    assert "not applied: 002_two.sql" in err


def on_a_terminal(database: Database, words: Sequence[str], answer: str = "", *, when: str = "") -> tuple[int, str]:
    """Exit status and what a terminal showed; `answer` is typed once `when` has been shown."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [*COMMAND, *words], environment_of(database) | {"TERM": "xterm-256color"})  # noqa: S606
    shown = b""
    try:
        while select.select([terminal], [], [], WITHIN_S)[0]:
            try:
                data = os.read(terminal, 65536)
            except OSError:  # Linux's way to say that nobody has the other end any more
                break
            if not data:
                break
            shown += data
            if answer and when.encode() in shown:
                os.write(terminal, answer.encode())
                answer = ""
    finally:
        os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_a_terminal_gets_a_table_a_bar_and_a_question(database: Database, folder: Path, tmp_path: Path) -> None:
    status, shown = on_a_terminal(database, ["apply", *staging(folder), "--backup-dir", str(tmp_path / "b")])
    assert status == 0
    assert "━" in shown
    status, shown = on_a_terminal(database, ["status", *staging(folder)])
    assert status == 0
    plain = re.sub(r"\x1b\[\d+m", "", shown)
    assert re.search(r"^✓ 001_one\.sql +Applied  \d{4}-\d\d-\d\d \d\d:\d\d UTC, \d+ms\r$", plain, re.MULTILINE)
    assert plain != shown
    status, shown = on_a_terminal(database, ["rollback", "002", *staging(folder)], "n\n", when="[y/N]")
    assert (status, tables(database)) == (1, "one two")
    assert "rollback-002.sql" in shown
    status, _ = on_a_terminal(database, ["rollback", "002", *staging(folder)], "\x03", when="[y/N]")
    assert (status, tables(database)) == (-signal.SIGINT, "one two")
    status, _ = on_a_terminal(database, ["rollback", "002", *staging(folder)], "y\n", when="[y/N]")
    assert (status, tables(database)) == (0, "one")


def test_a_run_goes_on_when_nobody_reads_its_lines_any_more(database: Database, folder: Path, tmp_path: Path) -> None:
    """As with `| head -1`: what it does to the database is not decided by a pager, and its status is its own."""
    words = ["apply", *staging(folder), "--backup-dir", str(tmp_path / "b")]
    for _ in range(2):
        reading, writing = os.pipe()
        os.close(reading)
        try:
            done = subprocess.run(
                [*COMMAND, *words], env=environment_of(database), stdout=writing, stderr=subprocess.PIPE, timeout=WITHIN_S, check=False
            )
        finally:
            os.close(writing)
        assert (done.returncode, done.stderr) == (0, b"")
    assert tables(database) == "one two"
    assert len(list((tmp_path / "b").glob("*.dump"))) == 1
