"""The least that a Python client of psycopg can do: hash every file, send each as one message with one history row. Nobody should use it.

It has no lock, no plan, no error's line, no second look at a file, and takes one COPY at most, at a file's end. What it needs beside psql
is what any Python program with this driver needs; what ours needs beside it is what ours is for.
"""

import hashlib
import os
import sys
from pathlib import Path

import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn

_BLOCK = 128 * 1024
_COPY = b" FROM STDIN;\n"
_END = b"\\.\n"


def main(folder: str) -> None:
    """The database is the environment's."""
    files = [(file, hashlib.sha256(file.read_bytes()).hexdigest()) for file in sorted(Path(folder).iterdir())]
    connection = psycopg.connect("", autocommit=True).pgconn
    _run(connection, b"CREATE TABLE history (name text PRIMARY KEY, checksum text NOT NULL, at timestamptz DEFAULT now())")
    for file, checksum in files:
        record = f"INSERT INTO history (name, checksum) VALUES ('{file.name}', '{checksum}'); COMMIT".encode()
        with file.open("rb", buffering=0) as text:
            block = text.read(_BLOCK)
            head, copies, data = block.partition(_COPY)
            if not copies:
                _run(connection, head.replace(b"COMMIT;", b"") + record)
                continue
            table, _, copy = head.rpartition(b"COPY")
            _run(connection, b"BEGIN;" + table)
            _run(connection, b"COPY" + copy + copies, ExecStatus.COPY_IN)
            while data:
                connection.put_copy_data(data.removesuffix(_END))
                data = text.read(_BLOCK)
            connection.put_copy_end()
            while connection.get_result():
                pass
            _run(connection, record)


def _run(connection: PGconn, message: bytes, expected: ExecStatus = ExecStatus.COMMAND_OK) -> None:
    result = connection.exec_(message)
    if result.status != expected:
        raise SystemExit(result.error_message.decode())


if __name__ == "__main__":
    main(sys.argv[1])
    os._exit(0)  # as ours: the end of a process looks for garbage among all that was imported
