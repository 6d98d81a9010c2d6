"""A pid is trusted only with the boot and the start time it was recorded with."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cluster.local.sandbox import Sandbox, _boot_id, _start_time, identity

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


def this_process() -> Sandbox:
    started = _start_time(os.getpid())
    assert started is not None
    return Sandbox(os.getpid(), started, _boot_id(), "dbm-0", "172.31.192.1", "172.31.192.2")


def test_recorded_process_is_recognised(tmp_path: Path) -> None:
    this_process().save(tmp_path / "sandbox.json")
    loaded = Sandbox.load(tmp_path / "sandbox.json")
    assert loaded is not None
    assert loaded.alive()


def test_reused_pid_is_not_ours() -> None:
    assert not replace(this_process(), start_time=1).alive()


def test_pid_of_an_earlier_boot_is_not_ours() -> None:
    assert not replace(this_process(), boot_id="another").alive()


def test_unreadable_record_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "sandbox.json").write_text('{"pid": 1')
    assert Sandbox.load(tmp_path / "sandbox.json") is None
    assert Sandbox.load(tmp_path / "absent.json") is None


def test_nodes_of_two_caches_have_different_names() -> None:
    assert identity(Path("/a/local")) != identity(Path("/b/local"))
    assert len(f"dbm-{identity(Path('/a/local'))}") <= 15  # an interface's name may be no longer
