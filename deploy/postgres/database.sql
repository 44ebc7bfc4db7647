-- One database of Farebox and who may enter it. Run by psql as a superuser with
-- -v database=NAME -v template=NAME; rights on what is inside come with the migrations.
select format('create database %I owner farebox_owner template %I', :'database', :'template')
 where not exists (select from pg_database where datname = :'database') \gexec

revoke all on database :"database" from public;
grant connect on database :"database"
   to farebox_ledger, farebox_reader, farebox_auditor, farebox_payments, farebox_recharge;
-- The self-audit folds the log into temporary tables and compares them with the live ones.
grant temporary on database :"database" to farebox_auditor;

\connect :"database"
revoke all on schema public from public;
