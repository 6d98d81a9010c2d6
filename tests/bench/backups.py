"""Backups and restores with all that is proved about them, against bare pg_dump and pg_restore on the same data."""

import itertools
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dbmigration.backup.clients import choose_dump_client
from tests.bench.candidates import bench_server, fresh_database
from tests.bench.measure import Sample, in_turns, run_process
from tests.bench.table import Row
from tests.engine.s3 import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server, running_s3
from tests.engine.server import PostgresServer

MEGABYTES = 2000
ROUNDS = 2
ONLY = "make bench ONLY=backups"

_FILL = """
CREATE TABLE orders (id bigint PRIMARY KEY, customer int NOT NULL, at timestamptz NOT NULL, note text NOT NULL);
INSERT INTO orders SELECT g, g % 9973, '2026-01-01'::timestamptz + g * interval '1 s',
    md5(g::text) || ' order of customer ' || g % 9973 || repeat(' item', 20)
FROM generate_series(1, {rows}) AS g;
CREATE INDEX ON orders (customer);
ALTER TABLE orders OWNER TO platform_owner;
"""
_ROW_BYTES = 220
_PROGRAM = Path(sys.executable).parent / "dbmigration"
_READ_BACK = """
import hashlib, json, sys
from dbmigration.backup.s3 import Objects
from dbmigration.cli.options import read_bucket
uri = sys.argv[1]
Objects(read_bucket(uri, "")).read(uri.split("/", 3)[3], hashlib.sha256().update)
"""


def backups() -> Iterator[Row]:
    """Two gigabytes of rows. Every candidate writes to the same disk, and what it wrote is removed before the next."""
    with bench_server() as server, tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        name = fresh_database(server)
        server.psql(_FILL.format(rows=MEGABYTES * 1_000_000 // _ROW_BYTES), database=name)
        version = server.psql("SHOW server_version").split()[0]
        client = choose_dump_client(version, int(version.partition(".")[0]))
        with running_s3(folder) as s3:
            yield from _backups(server, name, folder, client.pg_dump, s3)
        yield from _restores(server, name, folder, client.pg_restore)


def _backups(server: PostgresServer, name: str, folder: Path, pg_dump: Path, s3: S3Server) -> Iterator[Row]:
    environment = server.environment(name)
    keys = {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_ENDPOINT_URL": s3.endpoint,
        "AWS_REGION": "us-east-1",
    }

    def bare() -> Sample:
        target = folder / "bare.dump"
        sample = run_process([pg_dump, "--format=custom", f"--file={target}"], environment)
        target.unlink()
        return sample

    def volume() -> Sample:
        shutil.rmtree(folder / "volume", ignore_errors=True)
        return run_process([_PROGRAM, "backup", "--backup-dir", str(folder / "volume")], environment)

    def bucket() -> Sample:
        for path in s3.objects():
            (s3.root / BUCKET / path).unlink()
        return run_process([_PROGRAM, "backup", "--backup-dir", f"s3://{BUCKET}/bench"], environment | keys)

    def read_back() -> Sample:
        (uri,) = (f"s3://{BUCKET}/{each}" for each in s3.objects() if each.endswith(".dump"))
        return run_process([sys.executable, "-c", _READ_BACK, uri], environment | keys)

    series = in_turns({"pg_dump": bare, "volume": volume, "bucket": bucket, "read back": read_back}, rounds=ROUNDS, warmup=0)
    peer, size = series["pg_dump"], (folder / "volume").glob("*.json")
    megabytes = json.loads(next(size).read_text())["bytes"] / 1e6
    told = f"bare `pg_dump -Fc` to a file: {peer.seconds:.1f} s ({peer.spread})"
    ours = series["volume"]
    yield Row(
        f"backup of {MEGABYTES / 1000:.0f} GB of rows ({megabytes:.0f} MB of dump) to a volume, with its full proof",
        "`dbmigration backup`",
        f"{ours.seconds:.1f} s ({ours.spread}), {ours.peak_mb:.0f} MB",
        told,
        f"{1 / ours.ratio_to(peer):.2f} of its speed",
        "≥ 0.85; ≤ 150 MB",
        ONLY,
    )
    ours, check = series["bucket"], series["read back"]
    yield Row(
        "the same to S3 (versitygw on the same disk), with its full proof",
        "`dbmigration backup`",
        f"{ours.seconds:.1f} s ({ours.spread}), of it about {check.seconds:.1f} s to read it back; {ours.peak_mb:.0f} MB",
        told,
        f"{1 / ours.ratio_to(peer):.2f} of its speed",
        "≤ 150 MB",
        ONLY,
    )


def _restores(server: PostgresServer, name: str, folder: Path, pg_restore: Path) -> Iterator[Row]:
    dump = next((folder / "volume").glob("*.dump"))
    numbers = itertools.count(1)
    environment = server.environment(name)

    def bare() -> Sample:
        server.psql("CREATE DATABASE bare OWNER platform_owner")
        sample = run_process([pg_restore, "--exit-on-error", "--dbname=bare", dump], environment)
        server.psql("DROP DATABASE bare WITH (FORCE)")
        return sample

    def proved() -> Sample:
        into = f"restored_{next(numbers)}"
        sample = run_process([_PROGRAM, "restore", str(dump), "--into", into], environment)
        server.psql(f"DROP DATABASE {into} WITH (FORCE)")
        return sample

    series = in_turns({"pg_restore": bare, "ours": proved}, rounds=ROUNDS, warmup=0)
    ours, peer = series["ours"], series["pg_restore"]
    yield Row(
        "restore of that dump into a new database, every row compared with the backup",
        "`dbmigration restore`",
        f"{ours.seconds:.1f} s ({ours.spread}), {ours.peak_mb:.0f} MB",
        f"bare `pg_restore`, which compares nothing: {peer.seconds:.1f} s ({peer.spread})",
        f"{ours.ratio_to(peer):.2f}",
        "",
        ONLY,
    )
