-- Verification for migration 004: every query returns one row with one boolean that must be true; an error is a failure.
-- It only reads.

SELECT count(*) = 1 AS lancio_exists
FROM platform.organizations
WHERE slug = 'lancio';

-- Projects may be deleted later, but they never belong to anybody else
SELECT coalesce(bool_and(o.slug = 'lancio'), true) AS lancio_refs_belong_to_lancio
FROM platform.projects AS p
JOIN platform.organizations AS o ON o.id = p.organization_id
WHERE p.ref IN ('lanciowebprod001', 'lancioapiprod001');

-- The rest holds in the transaction that runs 004. Afterwards people join, leave and change roles, projects are added
-- and removed, and none of that is an error: outside of that transaction these three are true.

SELECT current_setting('platform.lancio_created_now', true) IS DISTINCT FROM 'yes' OR (
    SELECT count(*) = 2
    FROM platform.projects AS p
    JOIN platform.organizations AS o ON o.id = p.organization_id
    WHERE o.slug = 'lancio' AND p.ref IN ('lanciowebprod001', 'lancioapiprod001')
) AS lancio_has_its_projects;

SELECT current_setting('platform.lancio_created_now', true) IS DISTINCT FROM 'yes' OR EXISTS (
    SELECT FROM platform.user_roles AS r
    JOIN platform.organizations AS o ON o.id = r.organization_id
    WHERE o.slug = 'lancio' AND r.role = 'owner'
) AS lancio_has_an_owner;

-- Owner and admin by inheritance, operations by explicit grants: three users, two projects
SELECT current_setting('platform.lancio_created_now', true) IS DISTINCT FROM 'yes' OR (
    SELECT count(*) = 6
    FROM platform.users AS u
    CROSS JOIN platform.projects AS p
    WHERE lower(u.email) IN ('owner@lancio.example', 'admin@lancio.example', 'operations@lancio.example')
        AND p.ref IN ('lanciowebprod001', 'lancioapiprod001')
        AND platform.access_level(u.id, p.id) = 'admin'
) AS lancio_team_administers_its_projects;
