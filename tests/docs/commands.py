"""The commands of a page, run as somebody would who copies them from top to bottom."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_BLOCK: Final = re.compile(r"^```(bash|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_ANYTHING: Final = "…"
_WITHIN_S: Final = 600


@dataclass(frozen=True)
class Block:
    """Commands, and the lines that the page shows of what they say. `line`: where the block begins in the page."""

    line: int
    commands: str
    shown: list[str] = field(default_factory=list)


class PageFailed(AssertionError):
    """A command of a page ended otherwise than the page says, or said something else."""


def blocks(page: Path) -> list[Block]:
    """The page's blocks of `bash`; a block of `text` belongs to the commands before it."""
    text = page.read_text()
    found: list[Block] = []
    for match in _BLOCK.finditer(text):
        kind, content = match.groups()
        if kind == "bash":
            found.append(Block(text.count("\n", 0, match.start()) + 1, content))
        elif found:
            found[-1].shown.extend(line for line in content.splitlines() if line.strip())
    return found


def run_page(page: Path, folder: Path, environment: Mapping[str, str]) -> None:
    """Run all blocks in one shell, in `folder`. Raises PageFailed with the first that fails, or does not say what the page shows.

    A shown line has to be in the output of its block, whatever its spaces are; `…` in it stands for anything.
    """
    found = blocks(page)
    assert found, f"{page.name} has no commands"
    script = "exec 2>&1\n" + "".join(f"{block.commands}\necho '{_mark(number)}'\n" for number, block in enumerate(found))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_WITHIN_S,
        check=False,
    )
    rest = done.stdout
    for number, block in enumerate(found):
        said, ended, rest = rest.partition(f"{_mark(number)}\n")
        if not ended:
            raise PageFailed(f"{page.name}:{block.line}: ended with status {done.returncode}\n{block.commands}\n{said}{done.stderr}")
        for line in _not_said(block.shown, said):
            raise PageFailed(f"{page.name}:{block.line}: did not say {line!r}, but:\n{said}")


def _mark(number: int) -> str:
    return f"=== end of block {number} ==="


def _not_said(shown: list[str], said: str) -> Iterator[str]:
    lines = [" ".join(line.split()) for line in said.splitlines()]
    for line in shown:
        pattern = ".*".join(re.escape(" ".join(part.split())) for part in line.split(_ANYTHING))
        if not any(re.search(pattern, each) for each in lines):
            yield line
