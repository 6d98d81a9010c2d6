"""What runs the documentation's commands notices a command that fails and a line that is not said."""

import os
from pathlib import Path

import pytest

from tests.docs.commands import PageFailed, run_page


def run(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    run_page(page, tmp_path, os.environ)


def test_shown_lines_are_found_whatever_their_spaces_and_dots_stand_for_anything(tmp_path: Path) -> None:
    run(tmp_path, "```bash\necho 'applied   001 in 17 ms, verified'\n```\n\n```text\napplied 001 in … ms, verified\n…verified\n```\n")


def test_a_line_that_is_not_said_fails_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(PageFailed, match=r"page\.md:3: did not say 'applied 002'"):
        run(tmp_path, "# A page\n\n```bash\necho applied 001\n```\n\n```text\napplied 002\n```\n")


def test_what_another_block_said_does_not_count(tmp_path: Path) -> None:
    with pytest.raises(PageFailed, match="did not say 'one'"):
        run(tmp_path, "```bash\necho one\n```\n```bash\necho two\n```\n```text\none\n```\n")


def test_a_command_that_fails_ends_the_page(tmp_path: Path) -> None:
    with pytest.raises(PageFailed, match=r"page\.md:1: ended with status 3"):
        run(tmp_path, "```bash\necho so far\n(exit 3)\necho never\n```\n")


def test_blocks_share_one_shell(tmp_path: Path) -> None:
    run(tmp_path, "```bash\nword=kept\n```\n```bash\necho $word\n```\n```text\nkept\n```\n")
