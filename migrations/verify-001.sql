-- Verification for migration 001: every query returns one row with one boolean that must be true; an error is a failure.
-- It leaves nothing behind and needs no transaction around it: the rows it tries out are undone in their own block.

-- The documented columns come first and in order. Columns that later migrations add after them are fine.
SELECT (
    SELECT array_agg(c.definition ORDER BY c.attnum)
    FROM (
        SELECT attnum, attname || ' ' || format_type(atttypid, atttypmod) AS definition
        FROM pg_catalog.pg_attribute
        WHERE attrelid = to_regclass('platform.organizations') AND attnum > 0 AND NOT attisdropped
        ORDER BY attnum LIMIT 6
    ) AS c
) IS NOT DISTINCT FROM ARRAY[
    'id uuid', 'name text', 'slug text', 'billing_email text',
    'created_at timestamp with time zone', 'updated_at timestamp with time zone'
] AS organizations_columns_are_as_documented;

SELECT (
    SELECT array_agg(c.definition ORDER BY c.attnum)
    FROM (
        SELECT attnum, attname || ' ' || format_type(atttypid, atttypmod) AS definition
        FROM pg_catalog.pg_attribute
        WHERE attrelid = to_regclass('platform.projects') AND attnum > 0 AND NOT attisdropped
        ORDER BY attnum LIMIT 8
    ) AS c
) IS NOT DISTINCT FROM ARRAY[
    'id uuid', 'name text', 'ref text', 'organization_id uuid', 'region text', 'status text',
    'created_at timestamp with time zone', 'updated_at timestamp with time zone'
] AS projects_columns_are_as_documented;

SELECT (
    SELECT array_agg(c.definition ORDER BY c.attnum)
    FROM (
        SELECT attnum, attname || ' ' || format_type(atttypid, atttypmod) AS definition
        FROM pg_catalog.pg_attribute
        WHERE attrelid = to_regclass('platform.credentials') AND attnum > 0 AND NOT attisdropped
        ORDER BY attnum LIMIT 7
    ) AS c
) IS NOT DISTINCT FROM ARRAY[
    'id uuid', 'project_id uuid', 'anon_key text', 'service_role_key text', 'jwt_secret text',
    'created_at timestamp with time zone', 'updated_at timestamp with time zone'
] AS credentials_columns_are_as_documented;

SELECT count(*) = 3 AS every_table_has_id_as_primary_key
FROM pg_catalog.pg_constraint AS k
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND ARRAY[a.attnum] = k.conkey
WHERE k.contype = 'p' AND a.attname = 'id'
    AND k.conrelid IN (
        to_regclass('platform.organizations'), to_regclass('platform.projects'), to_regclass('platform.credentials')
    );

SELECT to_regprocedure('uuid_generate_v4()') IS NOT NULL AS uuid_generate_v4_needs_no_schema;

-- An index serves a foreign key when it is valid, not partial, and starts with the key's columns.
SELECT NOT EXISTS (
    SELECT FROM pg_catalog.pg_constraint AS k
    WHERE k.contype = 'f'
        AND k.conrelid IN (to_regclass('platform.projects'), to_regclass('platform.credentials'))
        AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_index AS i
            WHERE i.indrelid = k.conrelid AND i.indisvalid AND i.indpred IS NULL
                AND (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey
        )
) AS every_foreign_key_has_an_index;

-- Try the constraints out: what is right goes in, what is wrong is refused by the constraint that should refuse it.
DO $verify$
DECLARE
    -- Random, so that nothing here can meet or wait for a live row
    tag CONSTANT text := substr(md5(random()::text || clock_timestamp()::text), 1, 16);
    organization uuid;
    project uuid;
    attempt record;
    refused_by text;
BEGIN
    BEGIN
        INSERT INTO platform.organizations (name, slug, billing_email)
        VALUES ('Verify', 'verify-' || tag, 'billing@verify.example')
        RETURNING id INTO STRICT organization;

        INSERT INTO platform.projects (name, ref, organization_id, region)
        VALUES ('Verify', tag, organization, 'verify')
        RETURNING id INTO STRICT project;

        INSERT INTO platform.credentials (project_id, anon_key, service_role_key, jwt_secret)
        VALUES (project, 'a', 'b', 'c'), (project, 'd', 'e', 'f');

        FOR attempt IN
            SELECT * FROM (VALUES
                ('organizations_slug_key', $q$INSERT INTO platform.organizations (name, slug) SELECT 'x', slug FROM platform.organizations WHERE id = $1$q$),
                ('organizations_slug_format', $q$INSERT INTO platform.organizations (name, slug) VALUES ('x', 'Not A Slug')$q$),
                ('organizations_slug_format', $q$INSERT INTO platform.organizations (name, slug) VALUES ('x', '-x')$q$),
                ('organizations_name_not_blank', $q$INSERT INTO platform.organizations (name, slug) VALUES (' ', 'verify-x-' || $3)$q$),
                ('organizations_billing_email_format', $q$UPDATE platform.organizations SET billing_email = 'nobody' WHERE id = $1$q$),
                ('projects_ref_key', $q$INSERT INTO platform.projects (name, ref, organization_id, region) VALUES ('x', $3, $1, 'x')$q$),
                ('projects_ref_format', $q$UPDATE platform.projects SET ref = ref || 'a' WHERE id = $2$q$),
                ('projects_ref_format', $q$UPDATE platform.projects SET ref = left(ref, 15) WHERE id = $2$q$),
                ('projects_organization_id_fkey', $q$UPDATE platform.projects SET organization_id = id WHERE id = $2$q$),
                ('projects_organization_id_fkey', $q$DELETE FROM platform.organizations WHERE id = $1$q$),
                ('credentials_project_id_fkey', $q$UPDATE platform.credentials SET project_id = id WHERE project_id = $2$q$)
            ) AS attempts (expected, command)
        LOOP
            refused_by := NULL;
            BEGIN
                EXECUTE attempt.command USING organization, project, tag;
            EXCEPTION WHEN integrity_constraint_violation THEN
                GET STACKED DIAGNOSTICS refused_by = CONSTRAINT_NAME;
            END;
            IF refused_by IS DISTINCT FROM attempt.expected THEN
                RAISE EXCEPTION 'constraint % should have refused a wrong row, but % did', attempt.expected, coalesce(refused_by, 'nothing');
            END IF;
        END LOOP;

        DELETE FROM platform.projects WHERE id = project;
        IF EXISTS (SELECT FROM platform.credentials WHERE project_id = project) THEN
            RAISE EXCEPTION 'credentials outlive their project';
        END IF;

        RAISE EXCEPTION USING ERRCODE = 'VRFOK', MESSAGE = 'all checks passed, undo the rows';
    EXCEPTION WHEN SQLSTATE 'VRFOK' THEN
        NULL;
    END;
END
$verify$;

SELECT true AS constraints_refuse_wrong_rows;
