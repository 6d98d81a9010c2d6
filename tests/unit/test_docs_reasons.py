"""Every reason that can stand on a resource has a section in docs/reasons.md, and no section is about one that cannot."""

import re
from pathlib import Path

from dbmigration.api.reasons import Reason

DOCS = Path(__file__).resolve().parents[2] / "docs"


def sections() -> dict[str, str]:
    """The text below each third-level heading."""
    parts = re.split(r"^### (\S+)\n", (DOCS / "reasons.md").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_reason_has_a_section() -> None:
    assert set(sections()) == {reason.value for reason in Reason}


def test_every_section_says_something() -> None:
    assert [name for name, text in sections().items() if len(text.split("\n## ")[0].split()) < 8] == []
