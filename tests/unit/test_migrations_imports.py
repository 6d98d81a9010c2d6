"""A run with nothing to do pays for reading and planning only."""

import subprocess
import sys
from pathlib import Path

import pytest

OPERATOR = Path(__file__).parents[2] / "operator"
READ_AND_PLAN = """
import sys
from pathlib import Path
from dbmigration.migrations.folder import read_set
from dbmigration.migrations.model import History
from dbmigration.migrations.plan import make_plan
files = read_set(Path(sys.argv[1]))
make_plan(files, History(), environment="staging", target=None, out_of_order=False, reapply_rolled_back=False)
print(*sorted(name.partition(".")[0] for name in sys.modules))
"""
SPLIT_INSERTS = """
import sys
from dbmigration.migrations.script import inspect_bytes
inspect_bytes(b"BEGIN; INSERT INTO t VALUES (1); CREATE TABLE t (a int); CREATE INDEX i ON t (a); COMMIT;", None)
print(*sorted(name.partition(".")[0] for name in sys.modules))
"""


@pytest.mark.parametrize("code", [READ_AND_PLAN, SPLIT_INSERTS], ids=["read and plan", "split plain files"])
def test_neither_the_parser_nor_pydantic_is_loaded_before_it_is_needed(code: str) -> None:
    arguments = [sys.executable, "-c", code, str(OPERATOR.parent / "migrations")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=60, env={"PYTHONPATH": str(OPERATOR)})
    loaded = set(done.stdout.split())
    assert "dbmigration" in loaded
    assert not loaded & {"postgast", "google", "pydantic", "rich", "argparse", "psycopg", "kopf", "kubernetes"}
