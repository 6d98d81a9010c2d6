"""What the Jobs of a DatabaseRestore are asked to do."""

from dbmigration.decide.restoring.rules import decide
from tests.unit.observing import NOW
from tests.unit.restoring import RESTORE, S3, SUSPENDED, SWAP, WITH_SWAP, chosen, migration, observed, restored
from tests.unit.test_decide_restore import IN_BUCKET


def test_the_request_of_a_restore_from_a_bucket() -> None:
    start = decide(observed(spec=IN_BUCKET, status=chosen(backup_uri="s3://backups/prod/1.dump"), migration=migration(spec=S3)), NOW).start
    assert start is not None
    s3 = start.request.s3
    assert s3 is not None
    assert (s3.bucket, s3.prefix, s3.secret_name) == ("backups", "", "keys")
    assert (start.request.into, start.request.step, start.request.restored_identity) == ("studio_restored", RESTORE, None)


def test_the_request_of_a_swap_names_both_databases() -> None:
    start = decide(observed(spec=WITH_SWAP, status=restored(), migration=migration(spec=SUSPENDED)), NOW).start
    assert start is not None
    assert (start.request.step, start.request.live_identity, start.request.restored_identity) == (SWAP, "7/16384", "7/20000")
    assert start.request.live_name == "studio"
    assert start.request.s3 is None
