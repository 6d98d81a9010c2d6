"""Every reason that can stand on a resource has a page in docs/runbook and a line in docs/reasons.md, and every link leads somewhere."""

import re
from pathlib import Path

import pytest

from dbmigration.api.reasons import Reason

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
HEADINGS = ["What happened, and why", "What to do", "How to check"]


def test_every_reason_has_a_page_and_no_page_is_about_anything_else() -> None:
    assert {page.stem for page in (DOCS / "runbook").iterdir()} == {reason.value for reason in Reason}


def test_the_list_of_reasons_is_whole() -> None:
    listed = re.findall(r"^\| \[`(\w+)`\]\(runbook/(\w+)\.md\) \| (.+) \|$", (DOCS / "reasons.md").read_text(), flags=re.MULTILINE)
    assert all(name == page for name, page, _ in listed)
    assert sorted(name for name, _, _ in listed) == sorted(reason.value for reason in Reason)


@pytest.mark.parametrize("reason", Reason)
def test_a_page_says_what_happened_what_to_do_and_how_to_check(reason: Reason) -> None:
    title, *parts = re.split(r"^## (.*)\n", (DOCS / "runbook" / f"{reason}.md").read_text(), flags=re.MULTILINE)
    assert title == f"# {reason}\n\n"
    assert parts[::2] == HEADINGS
    assert all(len(text.split()) >= 5 for text in parts[1::2])


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), target


def anchors(page: Path) -> set[str]:
    """Of headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.replace("`", "")).strip().lower().replace(" ", "-") for heading in headings}
