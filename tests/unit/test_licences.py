"""What the image ships: no package under a licence that would bind its users, as the packages themselves say."""

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest

RUNTIME = Path(__file__).resolve().parents[2] / "requirements" / "runtime.txt"
LIBRARIES_UNDER_LGPL = {"psycopg", "psycopg-binary"}
"""Used as the libraries they are, unchanged, and replaceable by whoever has the image: that is what the LGPL asks for."""
CHOSEN = {"dulwich": ("Apache-2.0 OR GPL-2.0-or-later", "Apache-2.0")}
"""Of a choice that the package gives we take the one (docs/decisions/033)."""
PERMISSIVE = re.compile(
    r"MIT|BSD|Apache|PSF|Python-2\.0|Python Software Foundation|ISC|MPL|Mozilla Public|LGPL|Unlicense|Zlib", re.IGNORECASE
)
COPYLEFT = re.compile(r"\bA?GPL|GNU (?:Affero )?General Public", re.IGNORECASE)


def pinned() -> list[str]:
    return re.findall(r"^([A-Za-z0-9._-]+)==", RUNTIME.read_text(), flags=re.MULTILINE)


def licence(found: Distribution) -> str:
    """Expression, classifiers, or the first line of the old field, whichever the package gives."""
    metadata = found.metadata
    expression = " ".join(metadata.get_all("License-Expression") or ())
    classifiers = [text for text in metadata.get_all("Classifier") or () if text.startswith("License ::")]
    return " ".join([expression, *classifiers]).strip() or " ".join(metadata.get_all("License") or ()).partition("\n")[0]


@pytest.mark.parametrize("name", pinned())
def test_no_package_of_the_image_is_under_the_gpl(name: str) -> None:
    try:
        found = distribution(name)
    except PackageNotFoundError:
        # For another system or Python; its marker says so in the lock.
        (line,) = re.findall(rf"^{re.escape(name)}==\S+(.*)$", RUNTIME.read_text(), flags=re.MULTILINE)
        assert ";" in line, f"{name} is in the lock and not installed"
        return
    given, taken = CHOSEN.get(name, ("", ""))
    said = licence(found)
    assert given in said, f"{name} gives no such choice any more: {said!r}"
    said = said.replace(given, taken) if given else said
    assert PERMISSIVE.search(said), f"{name} says {said!r}"
    if name not in LIBRARIES_UNDER_LGPL:
        assert not COPYLEFT.search(said), f"{name} says {said!r}"
        assert "LGPL" not in said


def test_a_gpl_package_would_be_found() -> None:
    for said in (
        "GPL-3.0-only",
        "AGPL-3.0",
        "License :: OSI Approved :: GNU General Public License v3 (GPLv3)",
        "MIT AND GPL-2.0-or-later",
    ):
        assert COPYLEFT.search(said)
    assert not COPYLEFT.search("LGPL-3.0-only")
