"""What makes a migration dangerous: one rule, one function, one page of docs. `check` is for a run, `check_folder` for people."""

from dbmigration.lint.catalog import Catalog, TableFacts
from dbmigration.lint.checking import check, check_folder
from dbmigration.lint.finding import Finding, Severity, worst
from dbmigration.lint.names import Relation

__all__ = ["Catalog", "Finding", "Relation", "Severity", "TableFacts", "check", "check_folder", "worst"]
