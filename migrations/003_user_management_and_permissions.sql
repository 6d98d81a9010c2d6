-- ============================================
-- Migration: 003 - User Management And Permissions
-- ============================================
-- Purpose: Create user accounts, their roles in organizations and their access
--          to projects; move the members of the old table into them
--
-- Dependencies:
--   - 001_create_platform_schema.sql
--   - 002_platform_billing_schema.sql
--
-- Rollback:
--   See rollback-003.sql
-- ============================================

BEGIN;

-- What once needed a script of its own is in this file, in one transaction:
--   1. Existing user data migration: the DO block "members" below
--   2. Role assignment validation: constraints on user_roles, and the DO block "validation"
--   3. Permission inheritance setup: the view effective_permissions and the function access_level

-- User accounts
CREATE TABLE IF NOT EXISTS platform.users (
    id UUID PRIMARY KEY DEFAULT uuid_generate_v4(),
    email TEXT NOT NULL
        CONSTRAINT users_email_key UNIQUE
        CONSTRAINT users_email_format CHECK (email ~ '^[^@[:space:]]+@[^@[:space:]]+$'),
    -- '!' is the hash of no password: the account exists and cannot sign in until a password is set
    hashed_password TEXT NOT NULL
        CONSTRAINT users_hashed_password_not_blank CHECK (btrim(hashed_password) <> ''),
    display_name TEXT,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    last_login_at TIMESTAMPTZ
);

-- Ann@x.example and ann@x.example are one mailbox, so they are one account. Also the index to sign in with
CREATE UNIQUE INDEX IF NOT EXISTS idx_users_email_lower
ON platform.users (lower(email));

-- Role assignments: who belongs to which organization, as what
CREATE TABLE IF NOT EXISTS platform.user_roles (
    id UUID PRIMARY KEY DEFAULT uuid_generate_v4(),
    -- CASCADE, both: a membership means nothing without its user or its organization
    user_id UUID NOT NULL
        CONSTRAINT user_roles_user_id_fkey REFERENCES platform.users (id) ON DELETE CASCADE,
    organization_id UUID NOT NULL
        CONSTRAINT user_roles_organization_id_fkey REFERENCES platform.organizations (id) ON DELETE CASCADE,
    role TEXT NOT NULL
        CONSTRAINT user_roles_role_check CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    -- One role in an organization; also the index of the foreign key user_id
    CONSTRAINT user_roles_user_id_organization_id_key UNIQUE (user_id, organization_id)
);

-- The members of an organization, and its owners
CREATE INDEX IF NOT EXISTS idx_user_roles_organization_id_role
ON platform.user_roles (organization_id, role);

-- Permissions: explicit grants on one project, on top of what the role in its organization gives
CREATE TABLE IF NOT EXISTS platform.permissions (
    id UUID PRIMARY KEY DEFAULT uuid_generate_v4(),
    user_id UUID NOT NULL
        CONSTRAINT permissions_user_id_fkey REFERENCES platform.users (id) ON DELETE CASCADE,
    project_id UUID NOT NULL
        CONSTRAINT permissions_project_id_fkey REFERENCES platform.projects (id) ON DELETE CASCADE,
    access_level TEXT NOT NULL
        CONSTRAINT permissions_access_level_check CHECK (access_level IN ('read', 'write', 'admin')),
    granted_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    -- One grant on a project; also the index of the foreign key user_id
    CONSTRAINT permissions_user_id_project_id_key UNIQUE (user_id, project_id)
);

-- Who was granted access to a project
CREATE INDEX IF NOT EXISTS idx_permissions_project_id
ON platform.permissions (project_id);

-- --------------------------------------------
-- 1. Existing user data migration
-- --------------------------------------------
-- Before 003 the studio kept one row for each member of each organization:
--
--   platform.organization_members
--   ├── organization_id (UUID)        required
--   ├── email (TEXT, CITEXT)          required
--   ├── role (TEXT, enum)             required
--   ├── id (UUID or integer)          optional, names the row in error messages; else its ctid does
--   ├── display_name (TEXT)           optional
--   ├── hashed_password (TEXT)        optional
--   ├── created_at (TIMESTAMPTZ)      optional
--   └── last_login_at (TIMESTAMPTZ)   optional
--
-- Where that table exists, it is copied. It is not changed or dropped: it is the way back, and a later migration
-- can remove it. Where it does not exist there is nothing to do. Nobody is made from organizations.billing_email:
-- who receives invoices has not been given an account, let alone an owner's.
--
-- Rules:
--   * E-mails are compared without case or surrounding blanks, and stored in lower case: one account for each.
--   * Of several rows with one e-mail the oldest wins (created_at, then id, then ctid): a latecomer who typed
--     someone's address in capitals must not replace that person's password. What it lacks, the next one gives.
--   * Of several roles of one account in one organization the highest stays, so an organization keeps its owner.
--   * An account without a password gets '!', which is the hash of none.
--   * A row that cannot be right (role, e-mail, organization) stops the migration. The message names rows, never
--     their values: e-mails do not belong in logs.
--   * Only into empty tables: running this file again must not bring back people who were removed since.
DO $members$
DECLARE
    source CONSTANT regclass := to_regclass('platform.organization_members');
    missing text;
    wrong bigint;
    wrong_rows text;
    copied bigint;
BEGIN
    IF source IS NULL THEN
        RETURN;
    END IF;

    IF EXISTS (SELECT FROM platform.users) OR EXISTS (SELECT FROM platform.user_roles) THEN
        RAISE NOTICE 'platform.organization_members is not copied: there are users already';
        RETURN;
    END IF;

    SELECT string_agg(c.name, ', ') INTO missing
    FROM unnest(ARRAY['organization_id', 'email', 'role']) AS c (name)
    WHERE NOT EXISTS (
        SELECT FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = source AND a.attname = c.name AND a.attnum > 0 AND NOT a.attisdropped
    );
    IF missing IS NOT NULL OR (SELECT relkind NOT IN ('r', 'p') FROM pg_catalog.pg_class WHERE oid = source) THEN
        RAISE EXCEPTION 'platform.organization_members is not the table of members that 003 knows: it is no table or lacks %',
            coalesce(missing, 'nothing');
    END IF;

    -- Nobody joins or leaves while the statements below read the table one after the other
    LOCK TABLE platform.organization_members IN SHARE MODE;

    -- Optional columns are read through to_jsonb(), which gives NULL for a column that is not there. The casts to text
    -- are for tables that have citext or an enum.
    SELECT count(*), string_agg(w.row_name, ', ') FILTER (WHERE w.place <= 5) INTO wrong, wrong_rows
    FROM (
        SELECT
            CASE
                WHEN i.atttypid IN ('uuid'::regtype, 'bigint'::regtype, 'integer'::regtype)
                    THEN 'id ' || (to_jsonb(m) ->> 'id')
                ELSE 'ctid ' || m.ctid::text
            END AS row_name,
            row_number() OVER (ORDER BY m.tableoid, m.ctid) AS place
        FROM platform.organization_members AS m
        LEFT JOIN pg_catalog.pg_attribute AS i
            ON i.attrelid = source AND i.attname = 'id' AND NOT i.attisdropped
        LEFT JOIN platform.organizations AS o ON o.id = m.organization_id
        WHERE o.id IS NULL
            OR m.email IS NULL
            OR btrim(m.email::text) !~ '^[^@[:space:]]+@[^@[:space:]]+$'
            OR m.role IS NULL
            OR lower(btrim(m.role::text)) NOT IN ('owner', 'admin', 'member', 'viewer')
    ) AS w;
    IF wrong > 0 THEN
        RAISE EXCEPTION '% rows of platform.organization_members have a role other than owner, admin, member, viewer, or no valid e-mail, or an unknown organization; the first are: %; correct them and apply 003 again',
            wrong, wrong_rows;
    END IF;

    INSERT INTO platform.users (email, hashed_password, display_name, created_at, last_login_at)
    SELECT
        m.email,
        coalesce((array_agg(m.hashed_password ORDER BY m.created_at, m.id, m.ctid) FILTER (WHERE m.hashed_password IS NOT NULL))[1], '!'),
        (array_agg(m.display_name ORDER BY m.created_at, m.id, m.ctid) FILTER (WHERE m.display_name IS NOT NULL))[1],
        coalesce(min(m.created_at), now()),
        max(m.last_login_at)
    FROM (
        SELECT
            lower(btrim(s.email::text)) AS email,
            nullif(btrim(to_jsonb(s) ->> 'hashed_password'), '') AS hashed_password,
            nullif(btrim(to_jsonb(s) ->> 'display_name'), '') AS display_name,
            (to_jsonb(s) ->> 'created_at')::timestamptz AS created_at,
            (to_jsonb(s) ->> 'last_login_at')::timestamptz AS last_login_at,
            -- As text, whatever its type: it only has to give the same order every time
            to_jsonb(s) ->> 'id' AS id,
            s.ctid
        FROM platform.organization_members AS s
    ) AS m
    GROUP BY m.email;
    GET DIAGNOSTICS copied = ROW_COUNT;

    INSERT INTO platform.user_roles (user_id, organization_id, role, created_at)
    SELECT
        u.id,
        m.organization_id,
        (array_agg(lower(btrim(m.role::text)) ORDER BY array_position(ARRAY['owner', 'admin', 'member', 'viewer'], lower(btrim(m.role::text)))))[1],
        coalesce(min((to_jsonb(m) ->> 'created_at')::timestamptz), now())
    FROM platform.organization_members AS m
    JOIN platform.users AS u ON u.email = lower(btrim(m.email::text))
    GROUP BY u.id, m.organization_id;

    -- Lets verify-003.sql know that it runs in this very transaction, where every member must be found again.
    -- Later on members come and go, and the old table says nothing about them. The setting ends with the transaction.
    PERFORM set_config('platform.members_copied_now', 'yes', true);

    RAISE NOTICE '% users made from platform.organization_members', copied;
END
$members$;

-- --------------------------------------------
-- 2. Role assignment validation
-- --------------------------------------------
-- The constraints hold from now on. What they cannot say is checked once, on what was just copied: members without
-- an owner could never be administered by one of their own. Not a trigger, because closing an account for legal
-- reasons must not fail on this.
DO $validation$
DECLARE
    ownerless bigint;
    first_ids text;
BEGIN
    SELECT count(*), string_agg(o.organization_id::text, ', ') FILTER (WHERE o.place <= 5) INTO ownerless, first_ids
    FROM (
        SELECT r.organization_id, row_number() OVER (ORDER BY r.organization_id) AS place
        FROM platform.user_roles AS r
        GROUP BY r.organization_id
        HAVING NOT bool_or(r.role = 'owner')
    ) AS o;
    IF ownerless > 0 THEN
        RAISE EXCEPTION '% organizations have members but no owner; the first ids are: %; give each an owner and apply 003 again',
            ownerless, first_ids;
    END IF;
END
$validation$;

-- --------------------------------------------
-- 3. Permission inheritance setup
-- --------------------------------------------
-- A role in an organization gives the same access to each of its projects, present and future:
--
--   owner, admin → admin      member → write      viewer → read
--
-- A row of platform.permissions can raise that for one project, or let in somebody from outside the organization;
-- it cannot lower it. Inheritance is computed, never stored: a new project, a changed role or a removed member
-- takes effect at once, and there are no copies that could be forgotten.
--
-- No row means no access. Both filters, by user and by project, reach the tables' indexes.
CREATE OR REPLACE VIEW platform.effective_permissions AS
SELECT
    a.user_id,
    a.project_id,
    (ARRAY['read', 'write', 'admin'])[max(array_position(ARRAY['read', 'write', 'admin'], a.access_level))] AS access_level,
    -- Why: at most one row of each kind, so max() only picks it
    max(a.access_level) FILTER (WHERE a.inherited) AS inherited_level,
    max(a.access_level) FILTER (WHERE NOT a.inherited) AS granted_level
FROM (
    SELECT
        r.user_id,
        p.id AS project_id,
        CASE r.role
            WHEN 'owner' THEN 'admin'
            WHEN 'admin' THEN 'admin'
            WHEN 'member' THEN 'write'
            WHEN 'viewer' THEN 'read'
        END AS access_level,
        true AS inherited
    FROM platform.user_roles AS r
    JOIN platform.projects AS p ON p.organization_id = r.organization_id
    UNION ALL
    SELECT g.user_id, g.project_id, g.access_level, false
    FROM platform.permissions AS g
) AS a
GROUP BY a.user_id, a.project_id;

COMMENT ON VIEW platform.effective_permissions IS
    'Access of users to projects: the higher of what the organization role gives (inherited_level) and an explicit grant (granted_level). No row: no access.';

-- What applications ask: 'read', 'write', 'admin', or NULL for no access. With the caller's own rights.
CREATE OR REPLACE FUNCTION platform.access_level(p_user_id UUID, p_project_id UUID)
RETURNS TEXT
LANGUAGE sql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT e.access_level
    FROM platform.effective_permissions AS e
    WHERE e.user_id = p_user_id AND e.project_id = p_project_id
$function$;

COMMENT ON FUNCTION platform.access_level(UUID, UUID) IS
    'Access of a user to a project: read, write, admin, or NULL for none.';

COMMIT;
