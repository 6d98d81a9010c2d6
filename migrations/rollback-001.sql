-- Rollback for migration 001
-- DATA LOST: every organization and project, and all credentials (keys and secrets that cannot be made again).
BEGIN;

-- No CASCADE anywhere: what somebody else built on these tables or put into the schema makes this fail and
-- change nothing. The migration tool drops its history table platform.schema_migrations itself before this body;
-- by hand, with psql, save and drop that table first.
DROP TABLE IF EXISTS platform.credentials;
DROP TABLE IF EXISTS platform.projects;
DROP TABLE IF EXISTS platform.organizations;

DROP SCHEMA IF EXISTS platform;

-- The extension uuid-ossp stays. It may have been there before 001, and other schemas may use it by now; left
-- behind it harms nothing.

COMMIT;
