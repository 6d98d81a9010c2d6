"""Random sets of migrations, and what a database must look like when each of their statements took effect exactly once."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

BUMP = "UPDATE counter SET n = n + 1;\n"
BASE = """CREATE TABLE marks (label text NOT NULL, file text NOT NULL);
CREATE TABLE undone (label text NOT NULL);
CREATE TABLE counter (n int NOT NULL);
INSERT INTO counter VALUES (0);
CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL, body text NOT NULL);
ALTER TABLE items ALTER COLUMN body SET STORAGE EXTERNAL;
INSERT INTO items SELECT g, g, repeat(md5(g::text), 100) FROM generate_series(1, 150) AS g;
CREATE TYPE mood AS ENUM ('first');
CREATE TABLE feelings (felt mood NOT NULL);
CREATE TABLE parts (id int NOT NULL) PARTITION BY LIST (id);
CREATE SCHEMA side;
CREATE TABLE side.marks (label text NOT NULL, file text NOT NULL);
CREATE PROCEDURE twice(label text) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.marks VALUES (label || '/a', 'procedure');
    COMMIT;
    INSERT INTO public.marks VALUES (label || '/b', 'procedure');
END $$;
"""


@dataclass(frozen=True)
class Check:
    """A query and the rows that it must have in the end."""

    what: str
    query: str
    rows: list[tuple[object, ...]]


@dataclass(frozen=True)
class RandomSet:
    """`messages`: about how many messages a run of it takes. `concurrently`: it has statements that wait for old snapshots.

    `may_be_unknown`: it has statements whose outcome nothing tells.
    """

    files: dict[str, str]
    checks: list[Check]
    messages: int
    concurrently: bool
    may_be_unknown: bool

    @property
    def migrations(self) -> list[str]:
        return [name for name in self.files if name[0].isdigit()]

    def write(self, directory: Path) -> None:
        for name, text in self.files.items():
            (directory / name).write_text(text)


def random_set(rng: random.Random, database: str) -> RandomSet:
    """Three to six files. `database` is where they will run: what is global to the server gets its name."""
    return _Writer(rng, database).write()


@dataclass
class _Writer:
    """Writes files and keeps in mind what they do."""

    rng: random.Random
    database: str
    files: dict[str, str] = field(default_factory=dict)
    marks: list[str] = field(default_factory=list)
    side_marks: list[str] = field(default_factory=list)
    counter: int = 0
    indexes: dict[str, bool] = field(default_factory=dict)
    """Expression that only one index has -> whether that index is there in the end."""
    droppable: dict[str, str] = field(default_factory=dict)
    """Name of an index -> its expression."""
    columns: list[str] = field(default_factory=list)
    moods: list[str] = field(default_factory=lambda: ["first"])
    felt: list[str] = field(default_factory=list)
    attached: list[str] = field(default_factory=list)
    databases: list[str] = field(default_factory=list)
    messages: int = 10
    concurrently: bool = False
    may_be_unknown: bool = False
    _number: int = 0
    _count: int = 0
    _in_side: bool = False

    def write(self) -> RandomSet:
        self._file("base", BASE + self._partitions(), stepwise=self.rng.random() < 0.2)
        for _ in range(self.rng.randint(2, 5)):
            self.rng.choices([self._in_one, self._stepwise, self._blocks, self._big, self._temporary], weights=[3, 7, 3, 1, 1])[0]()
        return RandomSet(self.files, self._checks(), self.messages, self.concurrently, self.may_be_unknown)

    # Files

    def _file(self, name: str, text: str, *, stepwise: bool) -> None:
        self._number += 1
        header = "-- Transaction: none\n" if stepwise else ""
        self.files[f"{self._number:03}_{name}.sql"] = header + text
        if self.rng.random() < 0.25 and self.marks and self.marks[-1].startswith(f"{self._number}."):
            query = f"SELECT count(*) = 1 AS mark_is_there FROM marks WHERE label = '{self.marks[-1]}';\n"
            self.files[f"verify-{self._number:03}.sql"] = query
        self._in_side = False

    def _in_one(self) -> None:
        pieces = [self._transactional() for _ in range(self.rng.randint(2, 6))]
        text = "".join(pieces)
        self.messages += 2
        self._file("in_one", f"BEGIN;\n{text}COMMIT;\n" if self.rng.random() < 0.5 else text, stepwise=False)

    def _big(self) -> None:
        """Several messages of 64 KiB, in one transaction."""
        first = self._label()
        labels = [f"{first}-{n}" for n in range(self.rng.randint(1500, 3000))]
        self.marks += labels
        text = "".join(f"INSERT INTO marks VALUES ('{label}', '{'x' * 60}');\n" for label in labels)
        self.messages += 5
        self._file("big", text, stepwise=False)

    def _stepwise(self) -> None:
        pieces = []
        for _ in range(self.rng.randint(3, 7)):
            pieces.append(self._alone() if self.rng.random() < 0.6 else self._transactional())
            self.messages += 3
        if self.rng.random() < 0.5:
            pieces.append(self._unknowable())
            pieces.append(self._mark())
        self._file("stepwise", "".join(pieces), stepwise=True)

    def _blocks(self) -> None:
        """Several transactions, some of which the file itself rolls back."""
        pieces = []
        for _ in range(self.rng.randint(2, 4)):
            if self.rng.random() < 0.25:
                undone = f"INSERT INTO marks VALUES ('{self._label()} rolled back', 'never');\n"
                pieces.append(f"BEGIN;\n{undone}SET search_path = nowhere;\nROLLBACK;\n{self._mark()}")
            else:
                text = "".join(self._transactional() for _ in range(self.rng.randint(1, 3)))
                pieces.append(f"BEGIN;\n{text}COMMIT;\n")
            if self.rng.random() < 0.5:
                pieces.append(self._mark())
            self.messages += 3
        self._file("blocks", "".join(pieces), stepwise=True)

    def _temporary(self) -> None:
        """What follows needs the temporary table, which does not outlive its session."""
        self.may_be_unknown = True
        label = self._label()
        self.marks.append(label)
        self.messages += 8
        first = f"CREATE TEMPORARY TABLE scratch AS SELECT '{label}' AS label;\n"
        last = "INSERT INTO marks SELECT label, 'temporary' FROM scratch;\n"
        self._file("temporary", first + "VACUUM items;\n" + last + (self._mark() if self.rng.random() < 0.5 else ""), stepwise=True)

    # Statements

    def _label(self) -> str:
        self._count += 1
        return f"{self._number + 1}.{self._count}"

    def _mark(self) -> str:
        label = self._label()
        (self.side_marks if self._in_side else self.marks).append(label)
        return f"INSERT INTO marks VALUES ('{label}', '{self.rng.choice(['plain', 'a;b', '-- no comment'])}');\n"

    def _transactional(self) -> str:
        choices: list[Callable[[], str]] = [
            self._mark, self._mark, self._copy, self._bump, self._do, self._slow, self._table, self._column, self._add_value, self._index,
        ]  # fmt: skip
        return self.rng.choice(choices)()

    def _copy(self) -> str:
        labels = [self._label() for _ in range(self.rng.randint(1, 4))]
        self.marks += labels
        rows = "".join(f"{label}\tcopied; -- \\\\. 'no quote\n" for label in labels)
        return f"COPY public.marks FROM STDIN;\n{rows}\\.\n"

    def _bump(self) -> str:
        self.counter += 1
        return BUMP

    def _do(self) -> str:
        label = self._label()
        self.marks.append(label)
        return f"DO $do$ BEGIN INSERT INTO public.marks VALUES ('{label}', $$in a body;$$); END $do$;\n"

    def _slow(self) -> str:
        label = self._label()
        self.marks.append(label)
        return f"INSERT INTO public.marks SELECT '{label}', 'slow' FROM pg_sleep(0.01);\n"

    def _table(self) -> str:
        label = self._label()
        self.marks.append(label)
        name = f"made_{self._count}"
        return f"CREATE TABLE public.{name} (label text);\nINSERT INTO public.marks SELECT '{label}', count(*)::text FROM public.{name};\n"

    def _column(self) -> str:
        self._count += 1
        name = f"added_{self._count}"
        self.columns.append(name)
        return f"ALTER TABLE items ADD COLUMN {name} int NOT NULL DEFAULT {self._count};\n"

    def _add_value(self) -> str:
        self._count += 1
        value = f"mood {self._count}"
        place = ""
        if self.rng.random() < 0.3:
            place = " BEFORE 'first'"
            self.moods.insert(self.moods.index("first"), value)
        else:
            self.moods.append(value)
        return f"ALTER TYPE mood ADD VALUE '{value}'{place};\n"

    def _index(self, *, concurrently: bool = False) -> str:
        self._count += 1
        expression = f"((n + {self._count}))"
        self.indexes[expression] = True
        name = ""
        if self.rng.random() < 0.7:
            name = f"items_{self._count}"
            self.droppable[name] = expression
        unique = "UNIQUE " if self.rng.random() < 0.3 else ""
        unless = "IF NOT EXISTS " if name and self.rng.random() < 0.3 else ""
        how = "CONCURRENTLY " if concurrently else ""
        return f"CREATE {unique}INDEX {how}{unless}{name} ON items ({expression[1:-1]});\n"

    def _alone(self) -> str:
        choices: list[tuple[int, Callable[[], str]]] = [
            (8, self._index_concurrently), (4, self._drop_index), (5, self._reindex), (3, self._vacuum), (3, self._detach),
            (4, self._value_and_its_use), (2, self._settings), (1, self._database),
        ]  # fmt: skip
        return self.rng.choices([choice for _, choice in choices], weights=[weight for weight, _ in choices])[0]()

    def _index_concurrently(self) -> str:
        self.concurrently = True
        self.messages += 4
        return self._index(concurrently=True)

    def _drop_index(self) -> str:
        if not self.droppable:
            return self._index_concurrently()
        self.concurrently = True
        self.messages += 4
        name = self.rng.choice(sorted(self.droppable))
        self.indexes[self.droppable.pop(name)] = False
        return f"DROP INDEX CONCURRENTLY {self.rng.choice(['', 'IF EXISTS '])}{name};\n"

    def _reindex(self) -> str:
        self.concurrently = True
        self.messages += 4
        name = self.rng.choice([*sorted(self.droppable), "items_pkey"])
        whole = self.rng.random() < 0.4
        if self.rng.random() < 0.2:
            return "REINDEX (CONCURRENTLY, VERBOSE) SCHEMA public;\n" if self.rng.random() < 0.5 else "REINDEX SCHEMA public;\n"
        return "REINDEX TABLE CONCURRENTLY items;\n" if whole else f"REINDEX INDEX CONCURRENTLY {name};\n"

    def _vacuum(self) -> str:
        self.messages += 4
        return self.rng.choice(["VACUUM (ANALYZE) items", "VACUUM FULL marks", "CLUSTER items USING items_pkey", "ANALYZE items"]) + ";\n"

    def _partitions(self) -> str:
        self.attached = [f"part_{n}" for n in range(1, 5)]
        return "".join(f"CREATE TABLE {name} PARTITION OF parts FOR VALUES IN ({n});\n" for n, name in enumerate(self.attached))

    def _detach(self) -> str:
        if not self.attached:
            return self._mark()
        self.concurrently = True
        self.messages += 4
        name = self.attached.pop(self.rng.randrange(len(self.attached)))
        return f"ALTER TABLE parts DETACH PARTITION {name} CONCURRENTLY;\n"

    def _value_and_its_use(self) -> str:
        text = self._add_value()
        value = text.split("'")[1]
        self.felt.append(value)
        return f"{text}INSERT INTO feelings VALUES ('{value}');\n"

    def _settings(self) -> str:
        self._in_side = not self._in_side
        return (
            "SET search_path = side, public;\n" if self._in_side else self.rng.choice(["RESET search_path;\n", "DISCARD ALL;\n"])
        ) + self._mark()

    def _database(self) -> str:
        self._count += 1
        name = f"{self.database}_{self._count}"
        self.messages += 4
        if self.databases and self.rng.random() < 0.5:
            return f"DROP DATABASE {self.databases.pop()};\n"
        self.databases.append(name)
        return f"CREATE DATABASE {name};\n"

    def _unknowable(self) -> str:
        """Commits in its midst: no transaction holds it, and no catalog knows of it."""
        self.may_be_unknown = True
        self.messages += 4
        label = self._label()
        self.marks += [f"{label}/a", f"{label}/b"]
        if self.rng.random() < 0.5:
            return f"CALL twice('{label}');\n"
        body = f"INSERT INTO public.marks VALUES ('{label}/a', 'do'); COMMIT; INSERT INTO public.marks VALUES ('{label}/b', 'do');"
        return f"DO $$ BEGIN {body} END $$;\n"

    # What must come of it

    def _checks(self) -> list[Check]:
        there = sorted(expression for expression, is_there in self.indexes.items() if is_there)
        order = "ARRAY(SELECT enumlabel::text FROM pg_enum WHERE enumtypid = 'mood'::regtype ORDER BY enumsortorder)"
        return [
            Check("marks", "SELECT label, count(*) FROM marks GROUP BY 1 ORDER BY 1", [(m, 1) for m in sorted(self.marks)]),
            Check("marks of schema side", "SELECT label, count(*) FROM side.marks GROUP BY 1 ORDER BY 1",
                  [(m, 1) for m in sorted(self.side_marks)]),
            Check("counter", "TABLE counter", [(self.counter,)]),
            Check("values of the enum", f"SELECT {order}", [(self.moods,)]),
            Check("uses of the enum", "SELECT felt::text FROM feelings ORDER BY 1", [(value,) for value in sorted(self.felt)]),
            Check("added columns", "SELECT attname::text FROM pg_attribute WHERE attrelid = 'items'::regclass AND attname LIKE 'added%'"
                  " ORDER BY 1", [(name,) for name in sorted(self.columns)]),
            Check("indexes", "SELECT substring(indexdef FROM '\\(\\(n [+] \\d+\\)\\)') AS e FROM pg_indexes WHERE indexdef LIKE '%((n + %'"
                  " ORDER BY 1", [(expression,) for expression in there]),
            Check("partitions", "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'parts'::regclass"
                  " AND NOT inhdetachpending ORDER BY 1", [(name,) for name in sorted(self.attached)]),
            Check("detachments that hang", "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhdetachpending", []),
            Check("rows of the table under the indexes", "SELECT count(*), count(DISTINCT id) FROM items", [(150, 150)]),
            Check("databases", f"SELECT datname::text FROM pg_database WHERE datname LIKE '{self.database}\\_%' ORDER BY 1",
                  [(name,) for name in sorted(self.databases)]),
        ]  # fmt: skip
