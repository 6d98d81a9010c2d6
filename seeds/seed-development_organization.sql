-- ============================================
-- Seed: development organization
-- ============================================
-- Purpose: Give every developer the same organization, project and accounts to
--          work with. Runs again whenever this text changes, so it is written
--          to be run any number of times
--
-- Environment: development
--
-- Dependencies:
--   - 001_create_platform_schema.sql
--   - 003_user_management_and_permissions.sql
-- ============================================

-- What is here is put back to what this file says: a renamed organization gets its name back. Rows that a developer
-- added are left alone.

INSERT INTO platform.organizations (id, name, slug)
VALUES ('5eed0000-0000-4000-8000-000000000001', 'Development', 'development')
ON CONFLICT (slug) DO UPDATE SET name = EXCLUDED.name;

INSERT INTO platform.projects (id, name, ref, organization_id, region, status)
SELECT '5eed0000-0000-4000-8000-000000000011', 'Playground', 'devplayground001', o.id, 'eu-south-1', 'provisioning'
FROM platform.organizations AS o
WHERE o.slug = 'development'
ON CONFLICT (ref) DO UPDATE SET name = EXCLUDED.name, organization_id = EXCLUDED.organization_id;

-- '!' is the hash of no password: whoever wants to sign in sets one on their own machine, never here.
INSERT INTO platform.users (id, email, hashed_password, display_name)
VALUES
    ('5eed0000-0000-4000-8000-000000000021', 'owner@development.example', '!', 'Development Owner'),
    ('5eed0000-0000-4000-8000-000000000022', 'viewer@development.example', '!', 'Development Viewer')
ON CONFLICT (email) DO UPDATE SET display_name = EXCLUDED.display_name;

INSERT INTO platform.user_roles (user_id, organization_id, role)
SELECT u.id, o.id, r.role
FROM (VALUES
    ('owner@development.example', 'owner'),
    ('viewer@development.example', 'viewer')
) AS r (email, role)
JOIN platform.users AS u ON u.email = r.email
JOIN platform.organizations AS o ON o.slug = 'development'
ON CONFLICT (user_id, organization_id) DO UPDATE SET role = EXCLUDED.role;
