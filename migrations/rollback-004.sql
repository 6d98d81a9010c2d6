-- Rollback for migration 004
-- DATA LOST: the Lancio organization, its initial projects, its team's accounts, roles and permissions as 004 made them,
-- with what was changed in those rows since (names, passwords, sign-ins).
BEGIN;

-- It deletes rows by the ids that 004 gave them and nothing else. An organization, project or account that was there
-- before 004 has another id and stays.
DO $rollback$
DECLARE
    -- Everything 004 can have inserted
    made_by_004 CONSTANT uuid[] := ARRAY[
        '00040000-0000-4000-8000-000000000001',
        '00040000-0000-4000-8000-000000000011', '00040000-0000-4000-8000-000000000012',
        '00040000-0000-4000-8000-000000000021', '00040000-0000-4000-8000-000000000022', '00040000-0000-4000-8000-000000000023',
        '00040000-0000-4000-8000-000000000031', '00040000-0000-4000-8000-000000000032', '00040000-0000-4000-8000-000000000033',
        '00040000-0000-4000-8000-000000000041', '00040000-0000-4000-8000-000000000042'
    ];
    fk record;
    others bigint;
    in_the_way text := '';
BEGIN
    -- While these rows are locked nobody can add a row that refers to them
    PERFORM FROM platform.organizations WHERE id = ANY (made_by_004) FOR UPDATE;
    PERFORM FROM platform.projects WHERE id = ANY (made_by_004) FOR UPDATE;
    PERFORM FROM platform.users WHERE id = ANY (made_by_004) FOR UPDATE;

    -- Whatever refers to them and was not made by 004 (keys, invoices, further projects and members, and the tables of
    -- later migrations, which is why the catalog is asked and not a list) would be deleted along with them by an ON DELETE
    -- CASCADE. That is a person's decision. The message names tables and numbers, no values.
    FOR fk IN
        SELECT k.conrelid::regclass AS table_name, a.attname AS column_name
        FROM pg_catalog.pg_constraint AS k
        CROSS JOIN LATERAL unnest(k.conkey, k.confkey) AS c (attnum, target)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = c.attnum
        JOIN pg_catalog.pg_attribute AS t ON t.attrelid = k.confrelid AND t.attnum = c.target AND t.attname = 'id'
        WHERE k.contype = 'f' AND k.conparentid = 0
            AND k.confrelid IN ('platform.organizations'::regclass, 'platform.projects'::regclass, 'platform.users'::regclass)
        ORDER BY 1, 2
    LOOP
        EXECUTE format(
            'SELECT count(*) FROM %s AS t WHERE t.%I = ANY ($1) AND coalesce(to_jsonb(t) ->> ''id'', '''') <> ALL ($1::text[])',
            fk.table_name, fk.column_name
        ) INTO others USING made_by_004;
        IF others > 0 THEN
            in_the_way := in_the_way || format(', %s.%s (%s rows)', fk.table_name, fk.column_name, others);
        END IF;
    END LOOP;

    IF in_the_way <> '' THEN
        RAISE EXCEPTION 'rollback-004 deletes nothing: rows that 004 did not create refer to Lancio: %; move or delete them first',
            substr(in_the_way, 3);
    END IF;

    DELETE FROM platform.permissions WHERE id = ANY (made_by_004);
    DELETE FROM platform.user_roles WHERE id = ANY (made_by_004);
    DELETE FROM platform.users WHERE id = ANY (made_by_004);
    DELETE FROM platform.projects WHERE id = ANY (made_by_004);
    DELETE FROM platform.organizations WHERE id = ANY (made_by_004);
END
$rollback$;

COMMIT;
