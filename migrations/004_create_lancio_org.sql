-- ============================================
-- Migration: 004 - Create Lancio Organization
-- ============================================
-- Purpose: Create the Lancio production organization with its initial
--          projects, its admin users and their default permissions
--
-- Environment: production
--
-- Dependencies:
--   - 003_user_management_and_permissions.sql
--
-- Rollback:
--   See rollback-004.sql
-- ============================================

BEGIN;

-- Every row has an id of its own, written here, so that rollback-004.sql can delete these rows and no others.
-- ON CONFLICT DO NOTHING: what is there already, made by hand or by an earlier run, stays as it is; the rows that
-- belong to it are then looked up by slug, ref and e-mail, not by the ids below.

INSERT INTO platform.organizations (id, name, slug, billing_email)
VALUES ('00040000-0000-4000-8000-000000000001', 'Lancio', 'lancio', 'billing@lancio.example')
ON CONFLICT DO NOTHING;

-- Initial production projects. They stay in provisioning until the platform has made their keys: credentials are
-- secrets, and a file in a repository, its backups and the logs of whoever applies it are no place for secrets.
INSERT INTO platform.projects (id, name, ref, organization_id, region, status)
SELECT p.id, p.name, p.ref, o.id, 'eu-south-1', 'provisioning'
FROM platform.organizations AS o
CROSS JOIN (VALUES
    ('00040000-0000-4000-8000-000000000011'::uuid, 'Lancio Web', 'lanciowebprod001'),
    ('00040000-0000-4000-8000-000000000012'::uuid, 'Lancio API', 'lancioapiprod001')
) AS p (id, name, ref)
WHERE o.slug = 'lancio'
ON CONFLICT DO NOTHING;

-- The team. The addresses are placeholders: the domain lancio.example cannot receive mail, so put the real addresses
-- here and in verify-004.sql before the first apply in production; afterwards this file is not edited any more. The accounts are invitations: '!' is the hash of no password, so
-- nobody can sign in until the invitation is accepted and a password set.
INSERT INTO platform.users (id, email, hashed_password, display_name)
VALUES
    ('00040000-0000-4000-8000-000000000021', 'owner@lancio.example', '!', 'Lancio Owner'),
    ('00040000-0000-4000-8000-000000000022', 'admin@lancio.example', '!', 'Lancio Admin'),
    ('00040000-0000-4000-8000-000000000023', 'operations@lancio.example', '!', 'Lancio Operations')
ON CONFLICT DO NOTHING;

-- Owner and admin inherit admin access to every project of the organization. They get no explicit grants: those
-- would stay when somebody is made a member again.
INSERT INTO platform.user_roles (id, user_id, organization_id, role)
SELECT r.id, u.id, o.id, r.role
FROM platform.organizations AS o
CROSS JOIN (VALUES
    ('00040000-0000-4000-8000-000000000031'::uuid, 'owner@lancio.example', 'owner'),
    ('00040000-0000-4000-8000-000000000032'::uuid, 'admin@lancio.example', 'admin'),
    ('00040000-0000-4000-8000-000000000033'::uuid, 'operations@lancio.example', 'member')
) AS r (id, email, role)
JOIN platform.users AS u ON lower(u.email) = r.email
WHERE o.slug = 'lancio'
ON CONFLICT DO NOTHING;

-- Default permissions: operations administers the production projects, but neither members nor billing of the
-- organization. A plain member would only have write access.
INSERT INTO platform.permissions (id, user_id, project_id, access_level)
SELECT g.id, u.id, p.id, 'admin'
FROM (VALUES
    ('00040000-0000-4000-8000-000000000041'::uuid, 'operations@lancio.example', 'lanciowebprod001'),
    ('00040000-0000-4000-8000-000000000042'::uuid, 'operations@lancio.example', 'lancioapiprod001')
) AS g (id, email, ref)
JOIN platform.users AS u ON lower(u.email) = g.email
JOIN platform.projects AS p ON p.ref = g.ref
JOIN platform.organizations AS o ON o.id = p.organization_id AND o.slug = 'lancio'
ON CONFLICT DO NOTHING;

-- DO NOTHING is silent also when it should not be, as when a ref belongs to somebody else. Look at what came out.
DO $check$
BEGIN
    IF (
        SELECT count(*) FROM platform.projects AS p
        JOIN platform.organizations AS o ON o.id = p.organization_id
        WHERE o.slug = 'lancio' AND p.ref IN ('lanciowebprod001', 'lancioapiprod001')
    ) <> 2 THEN
        RAISE EXCEPTION 'a project reference of Lancio is taken by another organization';
    END IF;

    IF (
        SELECT count(*) FROM platform.user_roles AS r
        JOIN platform.organizations AS o ON o.id = r.organization_id
        JOIN platform.users AS u ON u.id = r.user_id
        WHERE o.slug = 'lancio'
            AND lower(u.email) IN ('owner@lancio.example', 'admin@lancio.example', 'operations@lancio.example')
    ) <> 3 THEN
        RAISE EXCEPTION 'a member of the Lancio team has no role in the organization: an id of 004 is taken by another row';
    END IF;

    -- Lets verify-004.sql know that it runs in this very transaction, where nothing can have changed yet.
    -- The setting ends with the transaction.
    PERFORM set_config('platform.lancio_created_now', 'yes', true);
END
$check$;

COMMIT;
