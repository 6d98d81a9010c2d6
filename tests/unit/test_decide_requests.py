"""What a run is asked to do."""

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.decide.observed import Observed
from tests.unit.deciding import started, status
from tests.unit.observing import DIGEST, failed, files, seen, spec, succeeded


def test_request_says_what_the_spec_says() -> None:
    asked = spec(
        database={
            "secretRef": {"name": "db", "key": "dsn"},
            "tls": {"mode": "verify-ca", "caRef": {"configMap": {"name": "ca", "key": "root.pem"}}},
        },
        target="003",
        history={"schema": "platform", "table": "schema_migrations"},
        execution={"lockTimeout": "500ms", "statementTimeout": "1h30m", "lockRetries": 3, "outOfOrder": True},
        backup={"policy": "Skip"},
    )
    decision = started(seen(spec=asked))
    assert decision.start
    request = decision.start.request
    assert (request.run_id, request.attempt, request.source_digest) == (decision.start.job_name, 1, DIGEST)
    assert (request.secret_keys.uri, request.tls_mode, request.ca_key) == ("dsn", "verify-ca", "root.pem")
    assert (request.target, request.history_schema, request.history_table) == ("003", "platform", "schema_migrations")
    assert (request.execution.lock_timeout_ms, request.execution.statement_timeout_ms) == (500, 5_400_000)
    assert (request.execution.lock_retries, request.execution.out_of_order) == (3, True)
    assert request.backup.required is False


@pytest.mark.parametrize(
    ("observed", "asks"),
    [
        (seen(retry="1"), False),
        (seen(retry="1", status=status(failed(Reason.ROLLED_BACK))), True),
        (seen(retry="1", source=files("b"), status=status(succeeded(), last_handled_retry="1")), False),
        (seen(retry="2", status=status(succeeded(), last_handled_retry="1")), True),
    ],
)
def test_a_new_retry_annotation_lifts_rolled_back_once(observed: Observed, asks: bool) -> None:
    decision = started(observed)
    assert decision.start
    assert decision.start.request.reapply_rolled_back is asks


def test_a_rollback_is_asked_of_the_run_with_its_hash() -> None:
    decision = started(seen(spec=spec(rollback={"to": "0", "planHash": "ab" * 32})))
    assert decision.start
    request = decision.start.request
    assert request.rollback is not None
    assert (request.rollback.to, request.rollback.plan_hash) == ("0", "ab" * 32)
