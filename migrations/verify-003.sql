-- Verification for migration 003: every query returns one row with one boolean that must be true; an error is a failure.
-- It leaves nothing behind and needs no transaction around it: the rows it tries out are undone in their own block.

-- The documented columns come first and in order. Columns that later migrations add after them are fine.
SELECT (
    SELECT array_agg(c.definition ORDER BY c.attnum)
    FROM (
        SELECT attnum, attname || ' ' || format_type(atttypid, atttypmod) AS definition
        FROM pg_catalog.pg_attribute
        WHERE attrelid = to_regclass('platform.users') AND attnum > 0 AND NOT attisdropped
        ORDER BY attnum LIMIT 6
    ) AS c
) IS NOT DISTINCT FROM ARRAY[
    'id uuid', 'email text', 'hashed_password text', 'display_name text',
    'created_at timestamp with time zone', 'last_login_at timestamp with time zone'
] AS users_columns_are_as_documented;

SELECT (
    SELECT array_agg(c.definition ORDER BY c.attnum)
    FROM (
        SELECT attnum, attname || ' ' || format_type(atttypid, atttypmod) AS definition
        FROM pg_catalog.pg_attribute
        WHERE attrelid = to_regclass('platform.user_roles') AND attnum > 0 AND NOT attisdropped
        ORDER BY attnum LIMIT 5
    ) AS c
) IS NOT DISTINCT FROM ARRAY[
    'id uuid', 'user_id uuid', 'organization_id uuid', 'role text', 'created_at timestamp with time zone'
] AS user_roles_columns_are_as_documented;

SELECT (
    SELECT array_agg(c.definition ORDER BY c.attnum)
    FROM (
        SELECT attnum, attname || ' ' || format_type(atttypid, atttypmod) AS definition
        FROM pg_catalog.pg_attribute
        WHERE attrelid = to_regclass('platform.permissions') AND attnum > 0 AND NOT attisdropped
        ORDER BY attnum LIMIT 5
    ) AS c
) IS NOT DISTINCT FROM ARRAY[
    'id uuid', 'user_id uuid', 'project_id uuid', 'access_level text', 'granted_at timestamp with time zone'
] AS permissions_columns_are_as_documented;

SELECT count(*) = 3 AS every_table_has_id_as_primary_key
FROM pg_catalog.pg_constraint AS k
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND ARRAY[a.attnum] = k.conkey
WHERE k.contype = 'p' AND a.attname = 'id'
    AND k.conrelid IN (
        to_regclass('platform.users'), to_regclass('platform.user_roles'), to_regclass('platform.permissions')
    );

-- An index serves a foreign key when it is valid, not partial, and starts with the key's columns.
SELECT NOT EXISTS (
    SELECT FROM pg_catalog.pg_constraint AS k
    WHERE k.contype = 'f'
        AND k.conrelid IN (to_regclass('platform.user_roles'), to_regclass('platform.permissions'))
        AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_index AS i
            WHERE i.indrelid = k.conrelid AND i.indisvalid AND i.indpred IS NULL
                AND (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey
        )
) AS every_foreign_key_has_an_index;

-- The function runs with its caller's rights and cannot be led astray by a search_path
SELECT count(*) = 1 AS access_level_is_invoker_with_fixed_search_path
FROM pg_catalog.pg_proc
WHERE oid = to_regprocedure('platform.access_level(uuid,uuid)') AND NOT prosecdef
    AND EXISTS (SELECT FROM unnest(proconfig) AS s (setting) WHERE s.setting LIKE 'search_path=%');

-- Existing user data: in the transaction that copied the old members, each of them has an account, a role that is
-- not lower than before, and each of their organizations has an owner. On any other day members have come and gone
-- and there is nothing to compare: the checks are skipped.
DO $verify$
BEGIN
    IF current_setting('platform.members_copied_now', true) IS DISTINCT FROM 'yes' THEN
        RETURN;
    END IF;

    IF EXISTS (
        SELECT FROM platform.organization_members AS m
        WHERE NOT EXISTS (
            SELECT FROM platform.users AS u
            JOIN platform.user_roles AS r ON r.user_id = u.id
            WHERE lower(u.email) = lower(btrim(m.email::text))
                AND r.organization_id = m.organization_id
                AND array_position(ARRAY['owner', 'admin', 'member', 'viewer'], r.role)
                    <= array_position(ARRAY['owner', 'admin', 'member', 'viewer'], lower(btrim(m.role::text)))
        )
    ) THEN
        RAISE EXCEPTION 'a member of platform.organization_members has no account or a lower role than before';
    END IF;

    -- Nor is there anybody who was not there before
    IF (SELECT count(*) FROM platform.users) <> (SELECT count(DISTINCT lower(btrim(email::text))) FROM platform.organization_members)
        OR (SELECT count(*) FROM platform.user_roles)
            <> (SELECT count(*) FROM (SELECT DISTINCT lower(btrim(email::text)), organization_id FROM platform.organization_members) AS d) THEN
        RAISE EXCEPTION 'there are accounts or roles that platform.organization_members does not have';
    END IF;

    IF EXISTS (
        SELECT FROM platform.user_roles GROUP BY organization_id HAVING NOT bool_or(role = 'owner')
    ) THEN
        RAISE EXCEPTION 'an organization has members but no owner';
    END IF;
END
$verify$;

SELECT true AS existing_users_are_migrated;

-- Try constraints and inheritance out on rows of our own.
DO $verify$
DECLARE
    -- Random, so that nothing here can meet or wait for a live row
    tag CONSTANT text := substr(md5(random()::text || clock_timestamp()::text), 1, 16);
    organization uuid;
    project uuid;
    later_project uuid;
    person uuid;
    attempt record;
    refused_by text;
    given text;
BEGIN
    BEGIN
        INSERT INTO platform.organizations (name, slug) VALUES ('Verify', 'verify-' || tag)
        RETURNING id INTO STRICT organization;

        INSERT INTO platform.projects (name, ref, organization_id, region) VALUES ('Verify', tag, organization, 'verify')
        RETURNING id INTO STRICT project;

        INSERT INTO platform.users (email, hashed_password) VALUES (tag || '@verify.example', '!')
        RETURNING id INTO STRICT person;

        -- A stranger has no access
        IF platform.access_level(person, project) IS NOT NULL THEN
            RAISE EXCEPTION 'a user without role and grant has access';
        END IF;

        -- An explicit grant needs no role
        INSERT INTO platform.permissions (user_id, project_id, access_level) VALUES (person, project, 'read');
        IF platform.access_level(person, project) IS DISTINCT FROM 'read' THEN
            RAISE EXCEPTION 'an explicit grant gives no access';
        END IF;

        -- The higher of role and grant counts, for every pair of the two
        INSERT INTO platform.user_roles (user_id, organization_id, role) VALUES (person, organization, 'viewer');
        FOR attempt IN
            SELECT * FROM (VALUES
                ('owner', NULL, 'admin'), ('admin', NULL, 'admin'), ('member', NULL, 'write'), ('viewer', NULL, 'read'),
                ('owner', 'read', 'admin'), ('admin', 'write', 'admin'), ('member', 'read', 'write'), ('viewer', 'read', 'read'),
                ('member', 'admin', 'admin'), ('viewer', 'write', 'write'), ('viewer', 'admin', 'admin')
            ) AS pairs (role, granted, expected)
        LOOP
            UPDATE platform.user_roles SET role = attempt.role WHERE user_id = person;
            DELETE FROM platform.permissions WHERE user_id = person;
            INSERT INTO platform.permissions (user_id, project_id, access_level)
            SELECT person, project, attempt.granted WHERE attempt.granted IS NOT NULL;

            given := platform.access_level(person, project);
            IF given IS DISTINCT FROM attempt.expected THEN
                RAISE EXCEPTION 'role % with grant % gives %, not %',
                    attempt.role, coalesce(attempt.granted, 'none'), coalesce(given, 'none'), attempt.expected;
            END IF;
        END LOOP;

        -- A project that is made later is inherited too; the grant on the other one does not reach it
        INSERT INTO platform.projects (name, ref, organization_id, region) VALUES ('Verify', reverse(tag), organization, 'verify')
        RETURNING id INTO STRICT later_project;
        IF platform.access_level(person, later_project) IS DISTINCT FROM 'read' THEN
            RAISE EXCEPTION 'a later project does not inherit the role of a viewer';
        END IF;

        FOR attempt IN
            SELECT * FROM (VALUES
                ('users_email_key', $q$INSERT INTO platform.users (email, hashed_password) SELECT email, '!' FROM platform.users WHERE id = $1$q$),
                ('idx_users_email_lower', $q$INSERT INTO platform.users (email, hashed_password) SELECT upper(email), '!' FROM platform.users WHERE id = $1$q$),
                ('users_email_format', $q$UPDATE platform.users SET email = 'nobody' WHERE id = $1$q$),
                ('users_hashed_password_not_blank', $q$UPDATE platform.users SET hashed_password = '' WHERE id = $1$q$),
                ('user_roles_role_check', $q$UPDATE platform.user_roles SET role = 'superuser' WHERE user_id = $1$q$),
                ('user_roles_user_id_organization_id_key', $q$INSERT INTO platform.user_roles (user_id, organization_id, role) VALUES ($1, $2, 'owner')$q$),
                ('user_roles_organization_id_fkey', $q$UPDATE platform.user_roles SET organization_id = $1 WHERE user_id = $1$q$),
                ('user_roles_user_id_fkey', $q$UPDATE platform.user_roles SET user_id = $2 WHERE user_id = $1$q$),
                ('permissions_access_level_check', $q$UPDATE platform.permissions SET access_level = 'root' WHERE user_id = $1$q$),
                ('permissions_user_id_project_id_key', $q$INSERT INTO platform.permissions (user_id, project_id, access_level) VALUES ($1, $3, 'read')$q$),
                ('permissions_project_id_fkey', $q$UPDATE platform.permissions SET project_id = $1 WHERE user_id = $1$q$),
                ('permissions_user_id_fkey', $q$UPDATE platform.permissions SET user_id = $2 WHERE user_id = $1$q$)
            ) AS attempts (expected, command)
        LOOP
            refused_by := NULL;
            BEGIN
                EXECUTE attempt.command USING person, organization, project;
            EXCEPTION WHEN integrity_constraint_violation THEN
                GET STACKED DIAGNOSTICS refused_by = CONSTRAINT_NAME;
            END;
            IF refused_by IS DISTINCT FROM attempt.expected THEN
                RAISE EXCEPTION 'constraint % should have refused a wrong row, but % did', attempt.expected, coalesce(refused_by, 'nothing');
            END IF;
        END LOOP;

        -- Who leaves the organization loses what the role gave, and keeps an explicit grant
        DELETE FROM platform.user_roles WHERE user_id = person;
        IF platform.access_level(person, later_project) IS NOT NULL
            OR platform.access_level(person, project) IS DISTINCT FROM 'admin' THEN
            RAISE EXCEPTION 'access after leaving an organization is wrong';
        END IF;

        RAISE EXCEPTION USING ERRCODE = 'VRFOK', MESSAGE = 'all checks passed, undo the rows';
    EXCEPTION WHEN SQLSTATE 'VRFOK' THEN
        NULL;
    END;
END
$verify$;

SELECT true AS roles_are_inherited_and_constraints_hold;
