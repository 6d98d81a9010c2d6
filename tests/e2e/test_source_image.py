"""The files are in an image: its container copies them for the run, and status says which bytes of which image they were."""

import io
import json
import tarfile
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest

from dbmigration.api.reasons import Reason
from tests.cluster.images import postgres_image
from tests.e2e.studio import Studio

NO_PROGRAM: Final = "localhost/dbmigration-files-alone:1"


def image(reference: str | None = None, **more: Any) -> dict[str, Any]:
    return {"image": {"reference": reference or postgres_image(), "pullPolicy": "IfNotPresent", **more}}


def test_files_of_an_image_are_applied_and_its_digest_is_told(studio: Studio) -> None:
    studio.put_secret(studio.database.secret_keys())
    studio.put_resource(source=image(), target="001")
    first = studio.wait_ready(version="001")
    assert first.status.source is not None
    assert "sha256:" in str(first.status.source.revision)

    studio.put_resource(source=image(), target=None)
    second = studio.wait_ready(version="002")
    assert studio.database.history() == ["001_first.sql", "002_second.sql"]
    assert second.status.source is not None
    assert (second.status.source.digest, second.status.source.revision) == (first.status.source.digest, first.status.source.revision)
    assert len(studio.jobs()) == 2


def test_a_link_in_the_image_is_the_file_it_leads_to(studio: Studio) -> None:
    studio.put_secret(studio.database.secret_keys())
    studio.put_resource(source=image(path="/linked"))
    assert studio.wait_ready(version="001").status.applied == 1


def test_a_folder_that_is_not_in_the_image(studio: Studio) -> None:
    """A person corrects the path, and nothing was ever run."""
    studio.put_secret(studio.database.secret_keys())
    studio.put_resource(source=image(path="/migration"))
    missing = studio.wait_reason(Reason.SOURCE_MISSING, stalled=False)
    assert "/migration" in missing.message
    assert missing.status.next_steps[0].endswith(f"`kubectl get dbm -n {studio.namespace} studio -o jsonpath='{{.spec.source}}'`")
    studio.put_resource(source=image(path="/usr/local/bin"))
    assert "holds no .sql file" in studio.wait_reason(Reason.SOURCE_INVALID, stalled=True).message
    studio.put_resource(source=image())
    studio.wait_ready(version="002")


def test_an_image_that_cannot_be_pulled(studio: Studio) -> None:
    studio.put_secret(studio.database.secret_keys())
    studio.put_resource(source=image("localhost/no-such-image:1", pullPolicy="Never"))
    assert "no-such-image" in studio.wait_reason(Reason.IMAGE_PULL_FAILED, stalled=False).message
    studio.put_resource(source=image())
    studio.wait_ready(version="002")


@pytest.fixture
def files_alone(studio: Studio, tmp_path: Path) -> str:
    """An image made FROM scratch: files, and no program to copy them with."""
    studio.cluster.load_image_archive(archive_of({"migrations/001_first.sql": b"SELECT 1;"}, NO_PROGRAM, tmp_path / "image.tar"))
    return NO_PROGRAM


def test_an_image_without_cp_is_refused_in_words(studio: Studio, files_alone: str) -> None:
    studio.put_secret(studio.database.secret_keys())
    studio.put_resource(source=image(files_alone))
    assert "has no program cp" in studio.wait_reason(Reason.SOURCE_INVALID, stalled=True).message


def archive_of(files: dict[str, bytes], reference: str, path: Path) -> Path:
    """An image of one layer as `docker save` writes it."""
    layer = _tar(files)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(layer).hexdigest()}"]},
    }
    written = json.dumps(config).encode()
    name = f"{sha256(written).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [reference], "Layers": ["layer.tar"]}]
    path.write_bytes(_tar({"manifest.json": json.dumps(manifest).encode(), name: written, "layer.tar": layer}))
    return path


def _tar(files: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            entry.mode = 0o644
            tar.addfile(entry, io.BytesIO(data))
    return held.getvalue()
