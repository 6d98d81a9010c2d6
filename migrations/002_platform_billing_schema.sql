-- ============================================
-- Migration: 002 - Platform Billing Schema
-- ============================================
-- Purpose: Add billing and subscription management: billing columns on
--          organizations, subscriptions, payment methods, invoices
--
-- Dependencies:
--   - 001_create_platform_schema.sql
--
-- Rollback:
--   See rollback-002.sql
-- ============================================

BEGIN;

-- Three rules hold for every table here:
--   * Money is a BIGINT in the currency's minor unit (cents) beside its ISO 4217 code; floating point never adds up.
--   * The payment provider's object is named by (provider, provider_..._ref), unique, so that a webhook delivered
--     twice cannot make a second row.
--   * ON DELETE RESTRICT: accounts have to be kept by law. An organization with billing data is closed, not deleted.

-- Who pays, and in which currency. All nullable or with a constant default: no row is rewritten.
ALTER TABLE platform.organizations
ADD COLUMN IF NOT EXISTS billing_name TEXT,
ADD COLUMN IF NOT EXISTS billing_address TEXT,
ADD COLUMN IF NOT EXISTS billing_country TEXT
    CONSTRAINT organizations_billing_country_format CHECK (billing_country ~ '^[A-Z]{2}$'),
ADD COLUMN IF NOT EXISTS billing_tax_id TEXT,
ADD COLUMN IF NOT EXISTS billing_currency TEXT NOT NULL DEFAULT 'EUR'
    CONSTRAINT organizations_billing_currency_format CHECK (billing_currency ~ '^[A-Z]{3}$'),
ADD COLUMN IF NOT EXISTS billing_provider TEXT,
-- The customer at the payment provider: both parts or none
ADD COLUMN IF NOT EXISTS billing_provider_customer_ref TEXT
    CONSTRAINT organizations_billing_customer_complete
    CHECK ((billing_provider IS NULL) = (billing_provider_customer_ref IS NULL));

CREATE UNIQUE INDEX IF NOT EXISTS idx_organizations_billing_customer
ON platform.organizations (billing_provider, billing_provider_customer_ref);

-- Subscriptions: what an organization has agreed to pay for. A canceled one stays as history
CREATE TABLE IF NOT EXISTS platform.subscriptions (
    id UUID PRIMARY KEY DEFAULT uuid_generate_v4(),
    organization_id UUID NOT NULL
        CONSTRAINT subscriptions_organization_id_fkey REFERENCES platform.organizations (id) ON DELETE RESTRICT,
    plan TEXT NOT NULL
        CONSTRAINT subscriptions_plan_not_blank CHECK (btrim(plan) <> ''),
    status TEXT NOT NULL
        CONSTRAINT subscriptions_status_check
        CHECK (status IN ('incomplete', 'trialing', 'active', 'past_due', 'paused', 'canceled')),
    billing_interval TEXT NOT NULL DEFAULT 'month'
        CONSTRAINT subscriptions_billing_interval_check CHECK (billing_interval IN ('month', 'year')),
    quantity INTEGER NOT NULL DEFAULT 1
        CONSTRAINT subscriptions_quantity_check CHECK (quantity > 0),
    -- Price of one unit for one interval, before tax
    unit_amount BIGINT NOT NULL
        CONSTRAINT subscriptions_unit_amount_check CHECK (unit_amount >= 0),
    currency TEXT NOT NULL
        CONSTRAINT subscriptions_currency_format CHECK (currency ~ '^[A-Z]{3}$'),
    trial_ends_at TIMESTAMPTZ,
    current_period_start TIMESTAMPTZ NOT NULL DEFAULT now(),
    current_period_end TIMESTAMPTZ NOT NULL,
    cancel_at_period_end BOOLEAN NOT NULL DEFAULT false,
    canceled_at TIMESTAMPTZ,
    provider TEXT,
    provider_subscription_ref TEXT,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT subscriptions_period_check CHECK (current_period_end > current_period_start),
    CONSTRAINT subscriptions_canceled_at_check CHECK ((status = 'canceled') = (canceled_at IS NOT NULL)),
    CONSTRAINT subscriptions_provider_complete CHECK ((provider IS NULL) = (provider_subscription_ref IS NULL)),
    CONSTRAINT subscriptions_provider_ref_key UNIQUE (provider, provider_subscription_ref),
    -- Lets an invoice refer to a subscription of its own organization only; also the index of the foreign key
    CONSTRAINT subscriptions_organization_id_id_key UNIQUE (organization_id, id)
);

-- At most one subscription of an organization runs at a time
CREATE UNIQUE INDEX IF NOT EXISTS idx_subscriptions_one_running
ON platform.subscriptions (organization_id)
WHERE status <> 'canceled';

-- The renewal job: what ends next
CREATE INDEX IF NOT EXISTS idx_subscriptions_renewal
ON platform.subscriptions (current_period_end)
WHERE status IN ('trialing', 'active', 'past_due');

-- Payment methods: what the provider keeps for us, with just enough to recognise it on a page. Never a card number,
-- a CVC or an IBAN: those would put this database in scope of PCI DSS
CREATE TABLE IF NOT EXISTS platform.payment_methods (
    id UUID PRIMARY KEY DEFAULT uuid_generate_v4(),
    organization_id UUID NOT NULL
        CONSTRAINT payment_methods_organization_id_fkey REFERENCES platform.organizations (id) ON DELETE RESTRICT,
    kind TEXT NOT NULL
        CONSTRAINT payment_methods_kind_check CHECK (kind IN ('card', 'direct_debit', 'bank_transfer', 'wallet')),
    brand TEXT,
    last4 TEXT
        CONSTRAINT payment_methods_last4_format CHECK (last4 ~ '^[0-9]{4}$'),
    exp_month SMALLINT
        CONSTRAINT payment_methods_exp_month_check CHECK (exp_month BETWEEN 1 AND 12),
    exp_year SMALLINT
        CONSTRAINT payment_methods_exp_year_check CHECK (exp_year BETWEEN 2000 AND 2199),
    is_default BOOLEAN NOT NULL DEFAULT false,
    provider TEXT NOT NULL,
    provider_payment_method_ref TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT payment_methods_expiry_complete CHECK ((exp_month IS NULL) = (exp_year IS NULL)),
    CONSTRAINT payment_methods_provider_ref_key UNIQUE (provider, provider_payment_method_ref)
);

CREATE INDEX IF NOT EXISTS idx_payment_methods_organization_id
ON platform.payment_methods (organization_id);

-- At most one default an organization
CREATE UNIQUE INDEX IF NOT EXISTS idx_payment_methods_one_default
ON platform.payment_methods (organization_id)
WHERE is_default;

-- Invoices: the history of what was charged
CREATE TABLE IF NOT EXISTS platform.invoices (
    id UUID PRIMARY KEY DEFAULT uuid_generate_v4(),
    organization_id UUID NOT NULL
        CONSTRAINT invoices_organization_id_fkey REFERENCES platform.organizations (id) ON DELETE RESTRICT,
    -- Empty for a one-off charge
    subscription_id UUID,
    -- Given when the invoice is issued; a draft has none, because numbers must have no gaps
    number TEXT
        CONSTRAINT invoices_number_key UNIQUE,
    status TEXT NOT NULL DEFAULT 'draft'
        CONSTRAINT invoices_status_check CHECK (status IN ('draft', 'open', 'paid', 'uncollectible', 'void')),
    currency TEXT NOT NULL
        CONSTRAINT invoices_currency_format CHECK (currency ~ '^[A-Z]{3}$'),
    subtotal_amount BIGINT NOT NULL
        CONSTRAINT invoices_subtotal_amount_check CHECK (subtotal_amount >= 0),
    tax_amount BIGINT NOT NULL DEFAULT 0
        CONSTRAINT invoices_tax_amount_check CHECK (tax_amount >= 0),
    total_amount BIGINT NOT NULL,
    amount_paid BIGINT NOT NULL DEFAULT 0,
    period_start TIMESTAMPTZ,
    period_end TIMESTAMPTZ,
    issued_at TIMESTAMPTZ,
    due_at TIMESTAMPTZ,
    paid_at TIMESTAMPTZ,
    provider TEXT,
    provider_invoice_ref TEXT,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT invoices_subscription_id_fkey
        FOREIGN KEY (organization_id, subscription_id)
        REFERENCES platform.subscriptions (organization_id, id) ON DELETE RESTRICT,
    CONSTRAINT invoices_total_amount_check CHECK (total_amount = subtotal_amount + tax_amount),
    CONSTRAINT invoices_amount_paid_check CHECK (amount_paid BETWEEN 0 AND total_amount),
    CONSTRAINT invoices_period_check CHECK (period_end > period_start),
    CONSTRAINT invoices_issued_check CHECK (status = 'draft' OR (number IS NOT NULL AND issued_at IS NOT NULL)),
    CONSTRAINT invoices_paid_check CHECK (status <> 'paid' OR (paid_at IS NOT NULL AND amount_paid = total_amount)),
    CONSTRAINT invoices_provider_complete CHECK ((provider IS NULL) = (provider_invoice_ref IS NULL)),
    CONSTRAINT invoices_provider_ref_key UNIQUE (provider, provider_invoice_ref)
);

-- An organization's invoices, newest first; also the index of its foreign key
CREATE INDEX IF NOT EXISTS idx_invoices_organization_id_issued_at
ON platform.invoices (organization_id, issued_at DESC);

-- A subscription's invoices; also the index of its foreign key
CREATE INDEX IF NOT EXISTS idx_invoices_subscription_id
ON platform.invoices (subscription_id, organization_id);

-- Reminders: what is open and overdue
CREATE INDEX IF NOT EXISTS idx_invoices_open_due_at
ON platform.invoices (due_at)
WHERE status = 'open';

COMMIT;
