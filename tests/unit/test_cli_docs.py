"""Every command that the documentation shows is one that the command line takes."""

import re
import shlex
from pathlib import Path

import pytest

from dbmigration.cli.exits import Exit
from dbmigration.cli.main import COMMANDS, command_of
from dbmigration.cli.plugin.main import PLUGIN
from dbmigration.cli.words import parser_of

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "docs" / "cli.md", ROOT / "README.md")
PLUGIN_PAGE = ROOT / "docs" / "kubectl.md"


def shown_commands(program: str = "dbmigration", pages: tuple[Path, ...] = PAGES) -> list[list[str]]:
    blocks = [block for page in pages for block in re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL)]
    calls = [call for block in blocks for call in re.findall(rf"(?:^|; do ){program} ([^|;>\n]*)", block, re.MULTILINE)]
    return [shlex.split(call, comments=True) for call in calls]


@pytest.mark.parametrize("words", shown_commands(), ids=" ".join)
def test_a_shown_command_is_taken(words: list[str]) -> None:
    command = command_of(words[0])
    assert command is not None
    parser_of(words[0], command).parse_args(words[1:])


def mentioned_commands(program: str = "dbmigration") -> list[list[str]]:
    """Commands with their words in running text of the pages for a bad night; a command's bare name is no call."""
    pages = [ROOT / "docs" / "disaster.md", *sorted((ROOT / "docs" / "runbook").iterdir())]
    calls = [call for page in pages for call in re.findall(rf"`{program} ([^`…]*)`", page.read_text())]
    return [words for call in calls if len(words := shlex.split(call)) > 1]


@pytest.mark.parametrize("words", mentioned_commands(), ids=" ".join)
def test_a_mentioned_command_is_taken(words: list[str]) -> None:
    test_a_shown_command_is_taken(words)


@pytest.mark.parametrize(
    "words", [*shown_commands("kubectl dbmigration", (PLUGIN_PAGE,)), *mentioned_commands("kubectl dbmigration")], ids=" ".join
)
def test_a_shown_command_of_the_plugin_is_taken(words: list[str]) -> None:
    command = PLUGIN.command_of(words[0])
    assert command is not None
    parser_of(words[0], command).parse_args(words[1:])


def test_every_command_and_option_of_the_plugin_has_its_place_in_its_page() -> None:
    page = PLUGIN_PAGE.read_text()
    for name in PLUGIN.commands:
        assert f"\n## {name}\n" in page
        command = PLUGIN.command_of(name)
        assert command is not None
        options = set(re.findall(r"--[a-z][a-z-]+", parser_of(name, command).format_help())) - {"--help"}
        assert [option for option in sorted(options) if option not in page] == []


def test_every_command_and_every_exit_status_has_its_place_in_the_page() -> None:
    page = PAGES[0].read_text()
    for name in COMMANDS:
        assert f"\n## {name}\n" in page
        assert f"\n| [`{name}`](#{name}) |" in page
    for status in Exit:
        assert f"\n| {status.value} |" in page


def test_every_option_is_named_in_the_page() -> None:
    page = PAGES[0].read_text()
    commands = {name: command_of(name) for name in COMMANDS}
    shown = "".join(parser_of(name, command).format_help() for name, command in commands.items() if command is not None)
    options = set(re.findall(r"--[a-z][a-z-]+", shown))
    assert "--dsn" in options
    assert [option for option in sorted(options) if option not in page] == []
