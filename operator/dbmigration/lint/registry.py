"""Every rule, in the order of the docs' table."""

from typing import Final

from dbmigration.lint.finding import Severity
from dbmigration.lint.operations import Operation
from dbmigration.lint.rule import Kind, Rule, source_rule
from dbmigration.lint.rules import (
    columns,
    constraints,
    destructive,
    enums,
    files,
    idempotence,
    indexes,
    locks,
    objects,
    renames,
    transactions,
)

INVALID_SET: Final = source_rule("invalid-set", Severity.ERROR, "A folder that cannot be read as a set of migrations")
INVALID_IGNORE: Final = source_rule("invalid-ignore", Severity.ERROR, "An ignore without a reason, or of a rule that does not exist")
UNUSED_IGNORE: Final = source_rule("unused-ignore", Severity.WARNING, "An ignore that nothing needs")

RULES: Final[tuple[Rule, ...]] = (
    # the set and its files
    INVALID_SET,
    files.not_runnable,
    files.syntax_error,
    files.missing_header,
    files.missing_rollback,
    files.file_name_style,
    files.empty_migration,
    files.identifier_too_long,
    files.password_in_file,
    objects.undeclared_dependency,
    objects.unknown_object,
    objects.already_exists,
    idempotence.not_idempotent,
    idempotence.seed_not_repeatable,
    INVALID_IGNORE,
    UNUSED_IGNORE,
    # transactions
    transactions.missing_transaction,
    transactions.unclosed_transaction,
    transactions.nested_transaction,
    transactions.several_transactions,
    transactions.rollback_in_migration,
    transactions.concurrently_in_transaction,
    transactions.mixed_non_transactional,
    # data that is gone
    destructive.drop_table,
    destructive.drop_column,
    destructive.drop_object,
    destructive.drop_schema,
    destructive.drop_database,
    destructive.drop_cascade,
    destructive.truncate,
    destructive.delete_without_where,
    destructive.update_without_where,
    # columns
    columns.add_column_not_null,
    columns.add_column_rewrite,
    columns.change_column_type,
    columns.table_rewrite,
    columns.drop_not_null,
    columns.timestamp_without_time_zone,
    columns.char_type,
    columns.integer_primary_key,
    # constraints
    constraints.validated_foreign_key,
    constraints.validated_check,
    constraints.set_not_null,
    constraints.unique_without_index,
    constraints.constraint_never_validated,
    constraints.domain_constraint,
    constraints.attach_partition_scan,
    constraints.detach_partition_not_concurrently,
    # indexes
    indexes.create_index_not_concurrently,
    indexes.drop_index_not_concurrently,
    indexes.reindex_not_concurrently,
    indexes.refresh_not_concurrently,
    indexes.foreign_key_without_index,
    # enums and names
    enums.enum_value_used_at_once,
    enums.enum_value_is_permanent,
    renames.rename_table,
    renames.rename_column,
    renames.rename_object,
    # locks
    locks.statement_after_exclusive_lock,
    locks.lock_table,
    locks.vacuum_full,
)

BY_NAME: Final = {rule.name: rule for rule in RULES}


def rules_of(kind: Kind) -> tuple[Rule, ...]:
    return tuple(rule for rule in RULES if rule.kind is kind)


def operation_rules() -> dict[type[Operation], tuple[Rule, ...]]:
    """By the type of operation that they are asked about."""
    found = dict[type[Operation], tuple[Rule, ...]]()
    for rule in rules_of(Kind.OPERATION):
        for type_ in rule.on:
            found[type_] = (*found.get(type_, ()), rule)
    return found
