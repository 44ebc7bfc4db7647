-- The roles of Farebox, made when missing, their passwords set to those of the environment.
-- Run by psql as a superuser. Tables belong to farebox_owner, whose password only migrations get.
\getenv owner_password FAREBOX_POSTGRES_OWNER_PASSWORD
\getenv ledger_password FAREBOX_POSTGRES_LEDGER_PASSWORD
\getenv reader_password FAREBOX_POSTGRES_READER_PASSWORD
\getenv auditor_password FAREBOX_POSTGRES_AUDITOR_PASSWORD
\getenv payments_password FAREBOX_POSTGRES_PAYMENTS_PASSWORD
\getenv recharge_password FAREBOX_POSTGRES_RECHARGE_PASSWORD
set password_encryption = 'scram-sha-256';

select format('create role %I login', name)
  from unnest(array['farebox_owner', 'farebox_ledger', 'farebox_reader', 'farebox_auditor',
                    'farebox_payments', 'farebox_recharge']) as name
 where not exists (select from pg_roles where rolname = name) \gexec

alter role farebox_owner password :'owner_password';
alter role farebox_ledger password :'ledger_password';
alter role farebox_reader password :'reader_password';
alter role farebox_auditor password :'auditor_password';
alter role farebox_payments password :'payments_password';
alter role farebox_recharge password :'recharge_password';

-- A service sees its own database only.
revoke all on database postgres, template1 from public;
