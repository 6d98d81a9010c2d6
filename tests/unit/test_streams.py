"""What the command line prints of strangers' words cannot steer a terminal."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbmigration.api.visible import visible
from dbmigration.cli import program
from dbmigration.cli.main import main
from dbmigration.cli.streams import VisibleStream, bare, visible_line, visible_output

ROOT = Path(__file__).parents[2]
HOSTILE = ["\x1b[2J", "\x1b]0;title\x07", "\x1b[8m", "\r", "\x9b2J", "\x08\x08", "\u202e", "\u2066", "\x00", "\u2028"]


@pytest.mark.parametrize("sequence", HOSTILE)
def test_a_control_sequence_is_spelt_out(sequence: str) -> None:
    shown = visible_line(f"001_a{sequence}.sql: error\n")
    assert sequence not in shown
    assert "\\u" in shown
    assert shown.endswith(".sql: error\n")


def test_our_own_colours_tabs_and_lines_stay() -> None:
    line = "\x1b[31merror: é ✓ \x1b[0m\tx\n"
    assert visible_line(line) == line
    # A sequence that only begins like one of ours is none.
    assert "\x1b" not in visible_line("\x1b[31;8m\x1b[3")


@given(st.text())
def test_what_is_written_is_visible_and_says_the_same(text: str) -> None:
    shown = visible(text)
    assert visible(shown) == shown
    assert shown == text or "\\u" in shown
    written = io.StringIO()
    assert VisibleStream(written).write(text) == len(text)
    assert visible_line(written.getvalue()) == written.getvalue()


@given(st.dictionaries(st.text(), st.text(st.characters(exclude_categories=["Cs"]))))
def test_json_still_means_the_same(value: dict[str, str]) -> None:
    clean = {visible(key): text for key, text in value.items()}
    assert json.loads(visible_line(json.dumps(clean, ensure_ascii=False))) == clean


def test_streams_are_put_back() -> None:
    before = sys.stdout
    with visible_output():
        during = sys.stdout
        assert (bare(during), during.isatty()) == (before, before.isatty())
        assert during is not before
    assert sys.stdout is before
    assert bare(before) is before


@pytest.mark.parametrize("words", [["--help"], ["graph", "--dir", "migrations"]], ids=["help", "graph"])
def test_a_reader_who_left_ends_a_command_without_a_word(words: list[str]) -> None:
    """As `| head` does, before the first line here."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "dbmigration.cli.main", *words],
            cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_pipe_of_another_kind_that_breaks_is_still_a_bug(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(program, "call", breaks)
    with pytest.raises(SystemExit) as ended:
        main(["lint"])
    assert ended.value.code == 1
    assert "this is a bug" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["lint", "graph"])
def test_a_hostile_files_name_and_text_reach_the_terminal_spelt_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    (tmp_path / "001_a\x1b]0;owned\x07.sql").write_text('-- Purpose: \x1b[2J\nDROP TABLE "\x1b[1;1H";\n')
    with pytest.raises(SystemExit):
        main([command, "--dir", str(tmp_path)])
    said = "".join(capsys.readouterr())
    assert "owned" in said
    assert "\x1b" not in said
    assert "\x07" not in said
