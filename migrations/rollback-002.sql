-- Rollback for migration 002
-- DATA LOST: every subscription, payment method and invoice, and the billing columns of organizations (billing_email,
-- which 001 made, stays). Invoices usually have to be kept by law: make sure that the backup exists and can be read.
BEGIN;

DROP TABLE IF EXISTS platform.invoices;
DROP TABLE IF EXISTS platform.payment_methods;
DROP TABLE IF EXISTS platform.subscriptions;

DROP INDEX IF EXISTS platform.idx_organizations_billing_customer;

ALTER TABLE IF EXISTS platform.organizations
DROP COLUMN IF EXISTS billing_provider_customer_ref,
DROP COLUMN IF EXISTS billing_provider,
DROP COLUMN IF EXISTS billing_currency,
DROP COLUMN IF EXISTS billing_tax_id,
DROP COLUMN IF EXISTS billing_country,
DROP COLUMN IF EXISTS billing_address,
DROP COLUMN IF EXISTS billing_name;

COMMIT;
