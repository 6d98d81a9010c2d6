"""Content keys decide what is built again, the cache folder where it is kept."""

import os
from pathlib import Path

from tests.cluster.cache import cache_root, content_key


def test_same_content_has_the_same_key_whatever_its_age(tmp_path: Path) -> None:
    source = tmp_path / "main.go"
    source.write_text("package main")
    before = content_key([source])
    os.utime(source, (1, 1))
    assert content_key([source]) == before


def test_changed_bytes_change_the_key(tmp_path: Path) -> None:
    source = tmp_path / "main.go"
    source.write_text("package main")
    before = content_key([source])
    source.write_text("package other")
    assert content_key([source]) != before


def test_renamed_file_changes_the_key(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    before = content_key([tmp_path])
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert content_key([tmp_path]) != before


def test_bytecode_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    before = content_key([tmp_path])
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.cpython-311.pyc").write_bytes(b"compiled")
    assert content_key([tmp_path]) == before


def test_absent_file_differs_from_an_empty_one(tmp_path: Path) -> None:
    absent = content_key([tmp_path / "go.sum"])
    (tmp_path / "go.sum").touch()
    assert content_key([tmp_path / "go.sum"]) != absent


def test_facts_do_not_run_into_each_other() -> None:
    assert content_key([], "ab", "c") != content_key([], "a", "bc")


def test_cache_folder_follows_the_environment() -> None:
    assert cache_root({"DBMIGRATION_CACHE": "/somewhere", "XDG_CACHE_HOME": "/elsewhere"}) == Path("/somewhere")
    assert cache_root({"XDG_CACHE_HOME": "/elsewhere"}) == Path("/elsewhere/dbmigration-operator")
    assert cache_root({}) == Path.home() / ".cache" / "dbmigration-operator"
