"""`python -m tests.bench [NAME ...]`: measure, print, and write docs/benchmarks.md."""

import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator

import dbmigration
from tests.bench import backups, cluster, engine, floor, gates, inputs, many, peers
from tests.bench.table import Row, write_rows

BENCHMARKS: dict[str, tuple[str, Callable[[], Iterator[Row]]]] = {
    "many_files": ("about 1 min", engine.many_files),
    "nothing_to_do": ("about 20 s", engine.nothing_to_do),
    "big_file": ("about 2 min", engine.big_file),
    "peers": ("about 3 min, and the installs the first time", peers.peers),
    "floor": ("about 2 min", floor.floor),
    "inputs": ("about 10 min", inputs.inputs),
    "backups": ("about 12 min", backups.backups),
    "many_finished": ("about 20 min on a running cluster", many.many_finished),
    "at_once": ("about 10 min on a running cluster", many.at_once),
    "apply_to_ready": ("about 2 min on a running cluster", cluster.apply_to_ready),
    "gates": ("about 6 min on a running cluster", gates.gates),
}


def compile_all() -> None:
    """What is measured is a program as pip and the image install it. PYTHONDONTWRITEBYTECODE would have it compiled at every start.

    In a process of its own: Linux counts what this one has ever needed into the memory of those that it starts.
    """
    subprocess.run([sys.executable, "-m", "compileall", "-q", *dbmigration.__path__, sysconfig.get_path("purelib")], check=False)


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}: there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    compile_all()
    for name in names or BENCHMARKS:
        expected, benchmark = BENCHMARKS[name]
        print(f"==> {name} ({expected})", flush=True)
        rows = list(benchmark())
        for row in rows:
            print(f"    {row.what}: {row.figure}; {row.peer}; ratio {row.ratio} {row.bound}", flush=True)
        write_rows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
