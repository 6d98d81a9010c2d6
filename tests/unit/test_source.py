"""Several ConfigMaps as one folder: the digest covers bytes and names, and nothing else of them."""

import base64
from typing import Any

from dbmigration.decide.observed import FoundSource, InvalidSource, Source
from dbmigration.kube.source import files_of, join_files
from dbmigration.migrations.digest import digest_bytes

SQL = "CREATE TABLE a (b text DEFAULT 'è');\n"


def config_map(name: str, data: dict[str, str] | None = None, binary: dict[str, bytes] | None = None, **metadata: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"metadata": {"name": name, **metadata}}
    if data is not None:
        found["data"] = data
    if binary is not None:
        found["binaryData"] = {key: base64.b64encode(value).decode() for key, value in binary.items()}
    return found


def joined(*config_maps: dict[str, Any]) -> Source:
    return join_files([files_of(one) for one in config_maps])


def digest(*config_maps: dict[str, Any]) -> str:
    source = joined(*config_maps)
    assert isinstance(source, FoundSource)
    return source.digest


def test_digest_is_that_of_the_files_the_pod_sees() -> None:
    source = joined(
        config_map("a", {"001_a.sql": SQL, "README.md": "x"}), config_map("b", {"dbmigration.toml": ""}, {"002_b.sql": b"\xff\x00"})
    )
    assert source == FoundSource(digest_bytes({"001_a.sql": SQL.encode(), "002_b.sql": b"\xff\x00", "dbmigration.toml": b""}), 2)


def test_labels_and_uncounted_files_change_nothing() -> None:
    """unrelated-metadata-change"""
    before = digest(config_map("a", {"001_a.sql": SQL}))
    assert digest(config_map("a", {"001_a.sql": SQL, "README.md": "new"}, labels={"x": "y"}, resourceVersion="9")) == before
    assert digest(config_map("renamed-5f7d", {"001_a.sql": SQL})) == before


def test_bytes_and_names_change_it() -> None:
    before = digest(config_map("a", {"001_a.sql": SQL}))
    assert digest(config_map("a", {"001_a.sql": SQL + " "})) != before
    assert digest(config_map("a", {"001_b.sql": SQL})) != before


def test_it_does_not_matter_which_config_map_holds_a_file() -> None:
    """source-over-1MiB"""
    one = digest(config_map("a", {"001_a.sql": SQL, "002_b.sql": SQL}))
    assert digest(config_map("b", {"002_b.sql": SQL}), config_map("a", {"001_a.sql": SQL})) == one


def test_a_file_in_two_config_maps_is_refused_and_both_are_named() -> None:
    source = joined(config_map("a", {"001_a.sql": SQL}), config_map("b", {"001_a.sql": SQL}))
    assert isinstance(source, InvalidSource)
    assert all(word in source.message for word in ("001_a.sql", "ConfigMap a", "ConfigMap b"))


def test_the_same_readme_in_two_config_maps_is_nobodys_problem() -> None:
    assert isinstance(joined(config_map("a", {"001_a.sql": SQL, "README.md": "1"}), config_map("b", {"README.md": "2"})), FoundSource)


def test_no_sql_at_all_is_the_wrong_config_map() -> None:
    source = joined(config_map("settings", {"application.properties": "x=1"}), config_map("empty"))
    assert isinstance(source, InvalidSource)
    assert "settings" in source.message
