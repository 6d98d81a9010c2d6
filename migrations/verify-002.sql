-- Verification for migration 002: every query returns one row with one boolean that must be true; an error is a failure.
-- It leaves nothing behind and needs no transaction around it: the rows it tries out are undone in their own block.

SELECT count(*) = 7 AS organizations_have_billing_columns
FROM pg_catalog.pg_attribute
WHERE attrelid = to_regclass('platform.organizations') AND NOT attisdropped
    AND format_type(atttypid, atttypmod) = 'text'
    AND attname IN (
        'billing_name', 'billing_address', 'billing_country', 'billing_tax_id', 'billing_currency',
        'billing_provider', 'billing_provider_customer_ref'
    );

SELECT to_regclass('platform.subscriptions') IS NOT NULL
    AND to_regclass('platform.payment_methods') IS NOT NULL
    AND to_regclass('platform.invoices') IS NOT NULL AS billing_tables_exist;

-- Every amount is a BIGINT, in a table that names the currency
SELECT count(*) = 5 AND bool_and(
    a.atttypid = 'bigint'::regtype
    AND EXISTS (
        SELECT FROM pg_catalog.pg_attribute AS c
        WHERE c.attrelid = a.attrelid AND c.attname = 'currency' AND c.attnotnull
    )
) AS amounts_are_minor_units_with_a_currency
FROM pg_catalog.pg_attribute AS a
WHERE a.attrelid IN (to_regclass('platform.subscriptions'), to_regclass('platform.invoices'))
    AND a.attname IN ('unit_amount', 'subtotal_amount', 'tax_amount', 'total_amount', 'amount_paid');

-- An index serves a foreign key when it is valid, not partial, and starts with the key's columns.
SELECT NOT EXISTS (
    SELECT FROM pg_catalog.pg_constraint AS k
    WHERE k.contype = 'f'
        AND k.conrelid IN (
            to_regclass('platform.subscriptions'), to_regclass('platform.payment_methods'), to_regclass('platform.invoices')
        )
        AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_index AS i
            WHERE i.indrelid = k.conrelid AND i.indisvalid AND i.indpred IS NULL
                AND (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey
        )
) AS every_foreign_key_has_an_index;

-- Billing data are never deleted along with something else
SELECT count(*) = 4 AND bool_and(confdeltype = 'r') AS billing_survives_deletes
FROM pg_catalog.pg_constraint
WHERE conname IN (
        'subscriptions_organization_id_fkey', 'payment_methods_organization_id_fkey',
        'invoices_organization_id_fkey', 'invoices_subscription_id_fkey'
    )
    AND conrelid IN (
        to_regclass('platform.subscriptions'), to_regclass('platform.payment_methods'), to_regclass('platform.invoices')
    );

SELECT count(*) = 3 AS billing_queries_have_their_indexes
FROM pg_catalog.pg_index
WHERE indisvalid AND indexrelid IN (
    to_regclass('platform.idx_subscriptions_renewal'),
    to_regclass('platform.idx_invoices_organization_id_issued_at'),
    to_regclass('platform.idx_invoices_open_due_at')
);

-- Try the constraints out: what is right goes in, what is wrong is refused by the constraint that should refuse it.
DO $verify$
DECLARE
    -- Random, so that nothing here can meet or wait for a live row
    tag CONSTANT text := substr(md5(random()::text || clock_timestamp()::text), 1, 16);
    organization uuid;
    stranger uuid;
    subscription uuid;
    attempt record;
    refused_by text;
BEGIN
    BEGIN
        INSERT INTO platform.organizations (name, slug, billing_provider, billing_provider_customer_ref)
        VALUES ('Verify', 'verify-' || tag, 'verify', tag)
        RETURNING id INTO STRICT organization;

        INSERT INTO platform.organizations (name, slug)
        VALUES ('Verify', 'verify-x-' || tag)
        RETURNING id INTO STRICT stranger;

        INSERT INTO platform.subscriptions (organization_id, plan, status, unit_amount, currency, current_period_end, provider, provider_subscription_ref)
        VALUES (organization, 'verify', 'active', 2500, 'EUR', now() + interval '1 month', 'verify', tag)
        RETURNING id INTO STRICT subscription;

        INSERT INTO platform.payment_methods (organization_id, kind, last4, exp_month, exp_year, is_default, provider, provider_payment_method_ref)
        VALUES (organization, 'card', '4242', 12, 2030, true, 'verify', tag);

        -- A draft, an issued invoice, a one-off charge
        INSERT INTO platform.invoices (organization_id, subscription_id, number, status, currency, subtotal_amount, tax_amount, total_amount, issued_at)
        VALUES
            (organization, subscription, NULL, 'draft', 'EUR', 2500, 550, 3050, NULL),
            (organization, subscription, 'verify-' || tag, 'open', 'EUR', 2500, 550, 3050, now()),
            (organization, NULL, NULL, 'draft', 'EUR', 0, 0, 0, NULL);

        FOR attempt IN
            SELECT * FROM (VALUES
                ('idx_organizations_billing_customer', $q$UPDATE platform.organizations SET billing_provider = 'verify', billing_provider_customer_ref = $4 WHERE id = $2$q$),
                ('organizations_billing_customer_complete', $q$UPDATE platform.organizations SET billing_provider = 'verify' WHERE id = $2$q$),
                ('organizations_billing_currency_format', $q$UPDATE platform.organizations SET billing_currency = 'euro' WHERE id = $2$q$),
                ('organizations_billing_country_format', $q$UPDATE platform.organizations SET billing_country = 'Italy' WHERE id = $2$q$),
                ('subscriptions_status_check', $q$UPDATE platform.subscriptions SET status = 'unheard of' WHERE id = $3$q$),
                ('subscriptions_canceled_at_check', $q$UPDATE platform.subscriptions SET status = 'canceled' WHERE id = $3$q$),
                ('subscriptions_unit_amount_check', $q$UPDATE platform.subscriptions SET unit_amount = -1 WHERE id = $3$q$),
                ('subscriptions_period_check', $q$UPDATE platform.subscriptions SET current_period_end = current_period_start WHERE id = $3$q$),
                ('idx_subscriptions_one_running', $q$INSERT INTO platform.subscriptions (organization_id, plan, status, unit_amount, currency, current_period_end) VALUES ($1, 'x', 'trialing', 0, 'EUR', now() + interval '1 day')$q$),
                ('subscriptions_provider_ref_key', $q$INSERT INTO platform.subscriptions (organization_id, plan, status, unit_amount, currency, current_period_end, provider, provider_subscription_ref) VALUES ($2, 'x', 'trialing', 0, 'EUR', now() + interval '1 day', 'verify', $4)$q$),
                ('payment_methods_last4_format', $q$UPDATE platform.payment_methods SET last4 = '4242424242424242' WHERE organization_id = $1$q$),
                ('payment_methods_exp_month_check', $q$UPDATE platform.payment_methods SET exp_month = 13 WHERE organization_id = $1$q$),
                ('payment_methods_provider_ref_key', $q$INSERT INTO platform.payment_methods (organization_id, kind, provider, provider_payment_method_ref) VALUES ($1, 'card', 'verify', $4)$q$),
                ('idx_payment_methods_one_default', $q$INSERT INTO platform.payment_methods (organization_id, kind, is_default, provider, provider_payment_method_ref) VALUES ($1, 'card', true, 'verify', 'x' || $4)$q$),
                ('invoices_number_key', $q$UPDATE platform.invoices SET number = 'verify-' || $4 WHERE organization_id = $1 AND subscription_id = $3$q$),
                ('invoices_issued_check', $q$UPDATE platform.invoices SET status = 'open' WHERE organization_id = $1 AND subscription_id IS NULL$q$),
                ('invoices_paid_check', $q$UPDATE platform.invoices SET status = 'paid' WHERE number = 'verify-' || $4$q$),
                ('invoices_total_amount_check', $q$UPDATE platform.invoices SET total_amount = total_amount + 1 WHERE number = 'verify-' || $4$q$),
                ('invoices_amount_paid_check', $q$UPDATE platform.invoices SET amount_paid = total_amount + 1 WHERE number = 'verify-' || $4$q$),
                ('invoices_subscription_id_fkey', $q$UPDATE platform.invoices SET organization_id = $2 WHERE number = 'verify-' || $4$q$),
                ('invoices_subscription_id_fkey', $q$DELETE FROM platform.subscriptions WHERE id = $3$q$)
            ) AS attempts (expected, command)
        LOOP
            refused_by := NULL;
            BEGIN
                EXECUTE attempt.command USING organization, stranger, subscription, tag;
            EXCEPTION WHEN integrity_constraint_violation THEN
                GET STACKED DIAGNOSTICS refused_by = CONSTRAINT_NAME;
            END;
            IF refused_by IS DISTINCT FROM attempt.expected THEN
                RAISE EXCEPTION 'constraint % should have refused a wrong row, but % did', attempt.expected, coalesce(refused_by, 'nothing');
            END IF;
        END LOOP;

        -- After a cancellation there may be a new subscription
        UPDATE platform.subscriptions SET status = 'canceled', canceled_at = now() WHERE id = subscription;
        INSERT INTO platform.subscriptions (organization_id, plan, status, unit_amount, currency, current_period_end)
        VALUES (organization, 'verify', 'active', 0, 'EUR', now() + interval '1 month');

        RAISE EXCEPTION USING ERRCODE = 'VRFOK', MESSAGE = 'all checks passed, undo the rows';
    EXCEPTION WHEN SQLSTATE 'VRFOK' THEN
        NULL;
    END;
END
$verify$;

SELECT true AS constraints_refuse_wrong_rows;
