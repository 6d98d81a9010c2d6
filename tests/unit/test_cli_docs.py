"""Every command that the documentation shows is one that the command line takes."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_group

from dbmigration.cli.exits import Exit
from dbmigration.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "docs" / "cli.md", ROOT / "README.md")


def shown_commands() -> list[list[str]]:
    blocks = [block for page in PAGES for block in re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL)]
    calls = [call for block in blocks for call in re.findall(r"(?:^|; do )dbmigration ([^|;>\n]*)", block, re.MULTILINE)]
    return [shlex.split(call, comments=True) for call in calls]


@pytest.mark.parametrize("words", shown_commands(), ids=" ".join)
def test_a_shown_command_is_taken(words: list[str]) -> None:
    command = get_group(app).commands[words[0]]
    with command.make_context(words[0], words[1:]) as context:
        assert context.args == []


def test_every_command_and_every_exit_status_has_its_place_in_the_page() -> None:
    page = PAGES[0].read_text()
    visible = [name for name, command in get_group(app).commands.items() if not command.hidden]
    assert {"plan", "apply", "status", "verify", "drift", "lint", "test", "backup", "rollback", "new", "run"} == set(visible)
    for name in visible:
        assert f"\n## {name}\n" in page
    for status in Exit:
        assert f"\n| {status.value} |" in page


def test_every_option_is_named_in_the_page() -> None:
    page = PAGES[0].read_text()
    options = {word for command in get_group(app).commands.values() for parameter in command.params for word in parameter.opts}
    assert [word for word in sorted(options) if word.startswith("--") and word not in page] == []
