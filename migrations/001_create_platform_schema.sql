-- ============================================
-- Migration: 001 - Create Platform Schema
-- ============================================
-- Purpose: Create the platform schema with its organizations (tenants),
--          their projects and the projects' credentials
--
-- Dependencies:
--   None (initial migration)
--
-- Rollback:
--   See rollback-001.sql
-- ============================================

BEGIN;

-- uuid_generate_v4() makes every primary key. This and later files call it without a schema, so it has to be on the
-- default search_path: public. An extension that is already there, in whatever schema, is left as it is, and then
-- no right to create extensions is needed. uuid-ossp is a trusted extension: the owner of the database can create it.
CREATE EXTENSION IF NOT EXISTS "uuid-ossp" WITH SCHEMA public;

-- An extension that somebody put into a schema outside the search_path would fail below with "function does not
-- exist", which sends people looking for a missing extension. Say what is really wrong.
DO $check$
BEGIN
    IF to_regprocedure('uuid_generate_v4()') IS NULL THEN
        RAISE EXCEPTION 'uuid-ossp is installed in schema %, which is not on the search_path of role %: add it with ALTER ROLE or ALTER DATABASE ... SET search_path',
            (SELECT extnamespace::regnamespace FROM pg_catalog.pg_extension WHERE extname = 'uuid-ossp'), current_user;
    END IF;
END
$check$;

CREATE SCHEMA IF NOT EXISTS platform;

-- The history table platform.schema_migrations is not made here: the migration tool that applies this file makes it.

-- updated_at is written by the application; the default covers the insert only.

-- Organizations: the tenants
CREATE TABLE IF NOT EXISTS platform.organizations (
    id UUID PRIMARY KEY DEFAULT uuid_generate_v4(),
    name TEXT NOT NULL
        CONSTRAINT organizations_name_not_blank CHECK (btrim(name) <> ''),
    -- A slug is part of host names, so it is a DNS label: it cannot start or end with a hyphen
    slug TEXT NOT NULL
        CONSTRAINT organizations_slug_key UNIQUE
        CONSTRAINT organizations_slug_format CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    -- Empty until somebody pays. A contact for invoices, not an account
    billing_email TEXT
        CONSTRAINT organizations_billing_email_format CHECK (billing_email ~ '^[^@[:space:]]+@[^@[:space:]]+$'),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- Projects of an organization
CREATE TABLE IF NOT EXISTS platform.projects (
    id UUID PRIMARY KEY DEFAULT uuid_generate_v4(),
    name TEXT NOT NULL
        CONSTRAINT projects_name_not_blank CHECK (btrim(name) <> ''),
    -- The 16-character reference that URLs and host names carry; it never changes
    ref TEXT NOT NULL
        CONSTRAINT projects_ref_key UNIQUE
        CONSTRAINT projects_ref_format CHECK (ref ~ '^[a-z0-9]{16}$'),
    -- RESTRICT: a project stands for running services, so they are taken down before their organization goes
    organization_id UUID NOT NULL
        CONSTRAINT projects_organization_id_fkey REFERENCES platform.organizations (id) ON DELETE RESTRICT,
    -- No default: where data are kept is a decision (data residency), not something to forget
    region TEXT NOT NULL
        CONSTRAINT projects_region_not_blank CHECK (btrim(region) <> ''),
    -- Not a closed list: the life cycle belongs to the service that provisions projects
    status TEXT NOT NULL DEFAULT 'provisioning'
        CONSTRAINT projects_status_not_blank CHECK (btrim(status) <> ''),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- Credentials of a project. Several rows may belong to one project: old and new keys overlap during a rotation
CREATE TABLE IF NOT EXISTS platform.credentials (
    id UUID PRIMARY KEY DEFAULT uuid_generate_v4(),
    -- CASCADE: keys must not outlive what they open
    project_id UUID NOT NULL
        CONSTRAINT credentials_project_id_fkey REFERENCES platform.projects (id) ON DELETE CASCADE,
    anon_key TEXT NOT NULL
        CONSTRAINT credentials_anon_key_not_blank CHECK (btrim(anon_key) <> ''),
    service_role_key TEXT NOT NULL
        CONSTRAINT credentials_service_role_key_not_blank CHECK (btrim(service_role_key) <> ''),
    jwt_secret TEXT NOT NULL
        CONSTRAINT credentials_jwt_secret_not_blank CHECK (btrim(jwt_secret) <> ''),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

COMMENT ON COLUMN platform.projects.ref IS 'Public 16-character project reference.';
COMMENT ON COLUMN platform.credentials.anon_key IS 'Public JWT key.';
COMMENT ON COLUMN platform.credentials.service_role_key IS 'SECRET: admin JWT key, passes row level security.';
COMMENT ON COLUMN platform.credentials.jwt_secret IS 'SECRET: signs every JWT of the project.';

-- Indexes for the foreign keys: the projects of an organization, the credentials of a project
CREATE INDEX IF NOT EXISTS idx_projects_organization_id
ON platform.projects (organization_id);

CREATE INDEX IF NOT EXISTS idx_credentials_project_id
ON platform.credentials (project_id);

COMMIT;
