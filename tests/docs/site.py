"""Hooks of mkdocs (see mkdocs.yml): sections of many pages, and links that leave docs/.

The pages are written to be read in a checkout too, so they link to manifests and migrations beside docs/. On the site those files stand
under `source/`.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

SECTIONS: Final = {"Reasons": "runbook", "Lint rules": "rules", "Decisions": "decisions", "All fields and options": "reference"}
"""Folders whose pages are listed by the hook: a new page needs no line in mkdocs.yml."""

_LINK: Final = re.compile(r"(?<=\]\()(\.\.?/[^)\s#]+|[\w.-]+/[^)\s#]*)(?=[)#])")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages of the sections in the navigation, after the page that the section already has there."""
    docs = Path(config.docs_dir)
    for entry in _entries(config.nav or []):
        for title, pages in entry.items():
            if title in SECTIONS and isinstance(pages, list):
                folder = SECTIONS[title]
                pages += [f"{folder}/{page.name}" for page in sorted((docs / folder).glob("*.md"))]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what pages link to outside of docs/."""
    for source in sorted({target for file in files.documentation_pages() for target in _outside(file, config)}):
        files.append(File.generated(config, _place(source, config), abs_src_path=str(source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links that leave docs/ to where the file is on the site; a folder's to its README, or to nothing where it has none."""
    del files

    def moved(link: re.Match[str]) -> str:
        source = _source(link[0], page.file, config)
        if source is None:
            return link[0]
        return posixpath.relpath(_place(source, config), posixpath.dirname(page.file.src_uri) or ".")

    return _LINK.sub(moved, markdown)


def _entries(nav: list[Any]) -> Iterator[dict[str, Any]]:
    for entry in nav:
        if isinstance(entry, dict):
            yield entry
            for inner in entry.values():
                if isinstance(inner, list):
                    yield from _entries(inner)


def _outside(file: File, config: MkDocsConfig) -> Iterator[Path]:
    for link in _LINK.findall(file.content_string):
        source = _source(link, file, config)
        if source is not None:
            yield source


def _source(link: str, file: File, config: MkDocsConfig) -> Path | None:
    """The file outside of docs/ that the link of a page leads to; None: it stays inside, or leads nowhere, which strict mode reports."""
    docs = Path(config.docs_dir).resolve()
    target = (docs / posixpath.dirname(file.src_uri) / link).resolve()
    if target.is_relative_to(docs):
        return None
    if target.is_dir():
        target = target / "README.md"
    return target if target.is_file() else None


def _place(source: Path, config: MkDocsConfig) -> str:
    # Markdown would become a page of its own, whose links lead elsewhere: it is shown as the text it is.
    place = source.relative_to(Path(config.docs_dir).resolve().parent).as_posix()
    return f"source/{place}.txt" if place.endswith(".md") else f"source/{place}"
