"""`dbmigration docs`: the section, its place in a README, and when it is stale."""

import re
from pathlib import Path

import pytest

from dbmigration.cli.docs import docs
from dbmigration.cli.exits import Exit
from dbmigration.cli.graph import Format, graph
from dbmigration.cli.words import BadParameter
from dbmigration.migrations.folder import read_set
from dbmigration.pictures.page import as_page
from dbmigration.pictures.splice import BEGIN, END

PLATFORM = Path(__file__).parents[2] / "migrations"

FIRST = "-- Migration: 001 - First\n-- Purpose: Makes the first table\n\nCREATE TABLE a (id int PRIMARY KEY);\n"
SECOND = "-- Dependencies:\n--   - 001_first.sql\n-- Environment: production\n\nCREATE INDEX CONCURRENTLY ON a (id);\nDROP VIEW v, w;\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "db" / "migrations"
    made.mkdir(parents=True)
    (made / "001_first.sql").write_text(FIRST)
    (made / "rollback-001.sql").write_text("DROP TABLE a;\n")
    (made / "002_second.sql").write_text(SECOND)
    return made


def test_each_migration_has_an_entry_with_what_the_requirements_ask_for(folder: Path) -> None:
    page = as_page(read_set(folder), beside=folder.parent.parent)
    top, first, second = page.split("\n### ")
    assert "The newest is 002, the next number is 003." in top
    assert "  m0 --> m1\n" in top
    assert first.startswith("001_first.sql\n\n**Purpose**: Makes the first table\\\n**Dependencies**: None\\\n")
    assert "**Rollback**: [rollback-001.sql](db/migrations/rollback-001.sql)\\\n" in first
    assert "**Creates**:\n\n- table `a`\n" in first
    assert "```\na\n└── id (integer, PK)\n```\n" in first
    assert "**Dependencies**: [001_first.sql](db/migrations/001_first.sql)\\\n" in second
    assert "**Purpose**: not said in its header\\\n" in second
    assert "**Environment**: production only\\\n**Rollback**: no script\\\n" in second
    assert "**Note**: runs statement by statement, not in one transaction\\\n" in second
    assert second.count("\n- index `a_id_idx` on `a`\n") == 1
    assert "**Drops**:\n\n- views `v`, `w`\n" in second
    assert "`dbmigration apply --environment production --backup-dir backups --target 002`\n" in second


def test_a_file_of_a_thousand_functions_does_not_name_them_all(tmp_path: Path) -> None:
    (tmp_path / "001_x.sql").write_text("".join(f"CREATE FUNCTION f{n}() RETURNS int LANGUAGE sql AS 'SELECT 1';\n" for n in range(1000)))
    page = as_page(read_set(tmp_path), beside=tmp_path)
    assert "`f0`, `f1`" in page
    assert re.search(r"- functions .* and 960 more$", page, re.MULTILINE)


def test_no_migrations_and_numbers_that_are_times_are_no_trouble(tmp_path: Path) -> None:
    assert "dbmigration new" in as_page(read_set(tmp_path), beside=tmp_path)
    (tmp_path / "20260203040506_x.sql").write_text("SELECT 1;")
    assert "The newest is 20260203040506. Which" in as_page(read_set(tmp_path), beside=tmp_path)


def test_the_section_in_a_readme_is_replaced_and_nothing_else_is(folder: Path) -> None:
    readme = folder / "README.md"
    readme.write_text(f"# Ours\n\nabove\n{BEGIN}\nold\n{END}\nbelow")
    assert docs(into=readme, directory=folder) == Exit.OK
    text = readme.read_text()
    assert text.startswith(f"# Ours\n\nabove\n{BEGIN}\n\n## Migration files\n")
    assert text.endswith(f"\n\n{END}\nbelow")
    assert "old" not in text
    before = readme.stat().st_mtime_ns
    assert docs(into=readme, directory=folder) == Exit.OK
    assert readme.stat().st_mtime_ns == before
    assert docs(into=readme, check=True, directory=folder) == Exit.OK


def test_a_stale_section_is_found_and_not_touched(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = folder / "README.md"
    readme.write_text(f"{BEGIN}\n{END}\n")
    docs(into=readme, directory=folder)
    (folder / "003_third.sql").write_text("SELECT 1;")
    text = readme.read_text()
    assert docs(into=readme, check=True, directory=folder) == Exit.FAILED
    assert readme.read_text() == text
    assert str(readme) in capsys.readouterr().err


def test_line_ends_of_the_readme_are_kept(folder: Path) -> None:
    readme = folder / "README.md"
    readme.write_bytes(f"a\r\n{BEGIN}\r\n{END}\r\n".encode())
    docs(into=readme, directory=folder)
    assert re.findall(rb"[^\r]\n", readme.read_bytes()) == []


@pytest.mark.parametrize("text", ["", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}\n{BEGIN}\n{END}"])
def test_a_readme_without_a_place_for_it_is_told_the_markers(folder: Path, text: str) -> None:
    readme = folder / "README.md"
    readme.write_text(text)
    with pytest.raises(BadParameter) as caught:
        docs(into=readme, directory=folder)
    assert BEGIN in str(caught.value)
    assert END in str(caught.value)
    assert readme.read_text() == text


def test_a_whole_file_is_written_and_checked_too(folder: Path) -> None:
    page = folder.parent / "MIGRATIONS.md"
    assert docs(output=page, check=True, directory=folder) == Exit.FAILED
    assert not page.exists()
    assert docs(output=page, directory=folder) == Exit.OK
    assert "(migrations/001_first.sql)" in page.read_text()
    assert docs(output=page, check=True, directory=folder) == Exit.OK


def test_wrong_words_touch_nothing(folder: Path, tmp_path: Path) -> None:
    for words in (
        {"output": tmp_path / "a", "into": tmp_path / "b"},
        {"check": True},
        {"into": tmp_path / "not-there.md"},
        {"output": tmp_path},
        {"output": tmp_path / "no-folder" / "x.md"},
    ):
        with pytest.raises(BadParameter):
            docs(**words, directory=folder)
    (tmp_path / "latin1.md").write_bytes(b"\xe9")
    with pytest.raises(BadParameter):
        docs(into=tmp_path / "latin1.md", directory=folder)
    with pytest.raises(BadParameter):
        docs(directory=tmp_path / "nothing")
    with pytest.raises(BadParameter):
        graph(directory=tmp_path / "nothing")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["db", "latin1.md"]


@pytest.mark.parametrize(
    ("output", "asked", "begins"),
    [
        (None, None, "graph TD\n"),
        (None, Format.SVG, "<svg "),
        ("g.svg", None, "<svg "),
        ("g.DOT", None, "digraph "),
        ("g.md", None, "graph TD\n"),
        ("g.svg", Format.DOT, "digraph "),
    ],
)
def test_the_format_of_a_graph_is_the_asked_one_or_the_endings(
    folder: Path, capsys: pytest.CaptureFixture[str], output: str | None, asked: Format | None, begins: str
) -> None:
    path = folder.parent / output if output else None
    assert graph(picture=asked, output=path, directory=folder) == Exit.OK
    written = path.read_text() if path else capsys.readouterr().out
    assert written.startswith(begins)


def test_our_own_page_is_not_stale() -> None:
    assert docs(into=PLATFORM / "README.md", check=True, directory=PLATFORM) == Exit.OK
