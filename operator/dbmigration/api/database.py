"""`spec.database`: where the database is, as a person says it."""

from enum import StrEnum
from typing import Self

from pydantic import ConfigDict, model_validator

from dbmigration.api.fields import ObjectKey, ObjectName, OwnerName, SpecModel, rule, rules


class SecretKeysSpec(SpecModel):
    """Which keys of the Secret hold what.

    Without it the well-known names are tried: uri, url, host, port, dbname, user, username, password.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.uri) || !(has(self.host) || has(self.port) || has(self.dbname) || has(self.user) || has(self.password))",
                "keys.uri names one key with the whole URI: write either uri or host, port, dbname, user and password",
            )
        )
    )

    uri: ObjectKey | None = None
    """Key with the whole connection URI."""
    host: ObjectKey | None = None
    """Key with the host name."""
    port: ObjectKey | None = None
    """Key with the port."""
    dbname: ObjectKey | None = None
    """Key with the name of the database."""
    user: ObjectKey | None = None
    """Key with the user's name."""
    password: ObjectKey | None = None
    """Key with the password, as it is (not percent-encoded)."""


class SecretRef(SpecModel):
    """A Secret of the resource's own namespace. Only the run's pod mounts it; the operator never reads it."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("!(has(self.key) && has(self.keys))", "write either key (one key that holds the whole URI) or keys, not both"),
        )
    )

    name: ObjectName
    """Name of the Secret."""
    key: ObjectKey | None = None
    """The one key that holds the whole connection URI."""
    keys: SecretKeysSpec | None = None
    """Names of the keys where they are not the well-known ones."""


class KeyRef(SpecModel):
    """One key of an object in the resource's namespace."""

    name: ObjectName
    """Name of the object."""
    key: ObjectKey = "ca.crt"
    """Key that holds the PEM file."""


class CaRef(SpecModel):
    """Where the certificate authority's PEM file is."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("has(self.secret) != has(self.configMap)", "write exactly one of caRef.secret and caRef.configMap"),
        )
    )

    secret: KeyRef | None = None
    """A key of a Secret."""
    config_map: KeyRef | None = None
    """A key of a ConfigMap."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.secret is None) == (self.config_map is None):
            raise ValueError("write exactly one of caRef.secret and caRef.configMap")
        return self


class TlsMode(StrEnum):
    """As libpq's sslmode."""

    DISABLE = "disable"
    PREFER = "prefer"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"


class Tls(SpecModel):
    """How the connection is encrypted and the server is known. Without it, what the Secret's URI says holds."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.caRef) || self.mode.startsWith('verify-')",
                "caRef is only looked at by mode verify-ca and verify-full: write one of them, or leave caRef out",
            )
        )
    )

    mode: TlsMode = TlsMode.VERIFY_FULL
    """libpq's sslmode."""
    ca_ref: CaRef | None = None
    """The authority that signed the server's certificate. Without it, the image's own list of authorities."""


class DatabaseSpec(SpecModel):
    """The database to migrate."""

    secret_ref: SecretRef
    """The Secret with the connection."""
    tls: Tls | None = None
    """Encryption and the server's certificate."""
    take_over: OwnerName | None = None
    """Take the database from this resource, which migrated it so far, and from no other: namespace/name, with @cluster where that has a
    name, as the refusal (DatabaseClaimed) and its status.database.claim write it."""
