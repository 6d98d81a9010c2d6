"""Which resource a database belongs to: written down in the database itself, so that it holds through every host name and namespace.

The claim is one value of `meta`, which every run reads anyway: it costs no round trip. What belongs to nobody is claimed by the first
resource whose run changes something there; a person at the command line never claims, and is refused like another resource.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from dbmigration.api.reasons import Reason
from dbmigration.errors import Permanent
from dbmigration.migrations.model import HistoryTable
from dbmigration.postgres import history
from dbmigration.postgres.schema import SCHEMA, set_meta
from dbmigration.postgres.session import Session

META_KEY = "claim"


@dataclass(frozen=True, slots=True)
class Owner:
    """A resource. `cluster` is what the operator was told to call its cluster, "" when it was told nothing."""

    namespace: str
    name: str
    uid: str = ""
    cluster: str = ""

    def __str__(self) -> str:
        """namespace/name, with @cluster where it has a name: what a person writes to name an owner."""
        return f"{self.namespace}/{self.name}" + (f"@{self.cluster}" if self.cluster else "")


@dataclass(frozen=True, slots=True)
class Claim:
    """`identity` is that of the database in which it was written: in a restored dump it is another than the database's own."""

    owner: Owner
    identity: str

    def to_json(self) -> str:
        owner = self.owner
        fields = {"namespace": owner.namespace, "name": owner.name, "uid": owner.uid, "cluster": owner.cluster, "identity": self.identity}
        return json.dumps(fields, sort_keys=True)


def read(text: str | None, identity: str) -> Claim | None:
    """The claim on the database with this identity. None: nobody's, or one that came along in a dump of another database.

    Raises Permanent DATABASE_CLAIMED when somebody wrote something else there: it is not ours to guess who that was.
    """
    if text is None:
        return None
    try:
        fields = json.loads(text)
        owner = Owner(*(str(fields[key]) for key in ("namespace", "name", "uid", "cluster")))
        claim = Claim(owner, str(fields["identity"]))
    except (ValueError, TypeError, KeyError):
        raise Permanent(
            Reason.DATABASE_CLAIMED, f"the row {META_KEY} of {SCHEMA}.meta cannot be read: delete it if no resource migrates this database"
        ) from None
    return claim if claim.identity == identity else None


def refuse_other(claim: Claim | None, owner: Owner | None, named: str | None) -> None:
    """Raises Permanent DATABASE_CLAIMED when the database is somebody else's.

    `owner` None: a person at the command line. `named`: the owner that the person who asks knows of, as `Owner` writes it; only that one
    is passed over, so a name that was written once and forgotten takes nothing from whoever comes later.
    """
    if claim is None or named == str(claim.owner):
        return
    if owner is None:
        raise Permanent(
            Reason.DATABASE_CLAIMED,
            f"{claim.owner} migrates this database (system identifier/oid {claim.identity}): change that resource, or say that you know "
            f"with --claimed-by {claim.owner}",
        )
    if str(claim.owner) != str(owner):
        raise Permanent(
            Reason.DATABASE_CLAIMED,
            f"{claim.owner} migrates this database (system identifier/oid {claim.identity}; a physical copy, like a snapshot "
            f'of production, has the same one): name another database, or take it over with spec.database.takeOver: "{claim.owner}"',
        )


def write(session: Session, table: HistoryTable, owner: Owner, *, run_id: str) -> Claim:
    """From now on the database is `owner`'s; an event says from whom. The lock is held, and the session is in no transaction.

    Raises as `history.prepare` and `Session.query` do, with nothing written.
    """
    claim = Claim(owner, session.server.identity)
    try:
        session.query("BEGIN")
        history.prepare(session, table, history_too=False)
        session.query(
            f"""INSERT INTO {SCHEMA}.event (actor, run_id, kind, detail)
            SELECT %s, %s, 'claimed', pg_catalog.jsonb_build_object('claim', %s::jsonb, 'before',
                (SELECT value FROM {SCHEMA}.meta WHERE key = '{META_KEY}'))""",
            (session.actor, run_id, claim.to_json()),
        )
        session.query(set_meta(**{META_KEY: claim.to_json()}))
        session.query("COMMIT")
    finally:
        session.roll_back()
    return claim


class Taken(NamedTuple):
    """When a claim was written, by which run, and whose the database was before; None where no event tells."""

    at: datetime | None = None
    run_id: str | None = None
    before: str | None = None


def stored(session: Session) -> Claim | None:
    """The claim, with nothing else read. Raises as `read` and `Session.query` do."""
    if not session.query(f"SELECT pg_catalog.to_regclass('{SCHEMA}.meta') IS NOT NULL")[0][0]:
        return None
    found = session.query(f"SELECT value FROM {SCHEMA}.meta WHERE key = '{META_KEY}'")
    return read(found[0][0] if found else None, session.server.identity)


def taken(session: Session, claim: Claim) -> Taken:
    """What the event says that was written with it."""
    found = session.query(
        f"""SELECT at, run_id, detail ->> 'before' FROM {SCHEMA}.event
        WHERE kind = 'claimed' AND detail -> 'claim' = %s::jsonb ORDER BY id DESC LIMIT 1""",
        (claim.to_json(),),
    )
    if not found:
        return Taken()
    at, run_id, before = found[0]
    earlier = read(before, claim.identity)
    return Taken(at, run_id, str(earlier.owner) if earlier and str(earlier.owner) != str(claim.owner) else None)


def release(session: Session, owner: str, *, run_id: str) -> None:
    """Nobody's from now on; an event says whose it was. The lock is held, and the session is in no transaction.

    Raises Permanent DATABASE_CLAIMED when it is not `owner`'s, and as `Session.query` does, with nothing changed.
    """
    found = stored(session)
    if found is None or str(found.owner) != owner:
        whose = f"{found.owner}'s" if found else "nobody's"
        raise Permanent(Reason.DATABASE_CLAIMED, f"this database is {whose}, not {owner}'s: nothing was released")
    try:
        session.query("BEGIN")
        session.query(
            f"""INSERT INTO {SCHEMA}.event (actor, run_id, kind, detail)
            VALUES (%s, %s, 'released', pg_catalog.jsonb_build_object('before', %s::text))""",
            (session.actor, run_id, found.to_json()),
        )
        session.query(f"DELETE FROM {SCHEMA}.meta WHERE key = '{META_KEY}'")
        session.query("COMMIT")
    finally:
        session.roll_back()
