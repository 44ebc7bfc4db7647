-- The one statement of the writer: events, commands, reservations and balances, or nothing.
--
-- A data-modifying CTE does not see what its siblings insert: what opens and closes in one batch
-- is netted out in memory. One row an account, or the upsert fails (SQLSTATE 21000).
-- The hot statement is `log` + `balances`; a batch that changes more is `log` + `rare` + `accounts`.

-- name: log
with new_events as (
  insert into ledger.events (partition, position, account_id, version, type, body, hash)
  select $1::smallint, e.* from unnest(
    $2::bigint[], $3::uuid[], $4::bigint[], $5::smallint[], $6::bytea[], $7::bytea[]) as e
), new_commands as (
  insert into ledger.commands (caller_id, kind, account_id, position, event_count, fingerprint)
  select c.* from unnest(
    $8::uuid[], $9::smallint[], $10::uuid[], $11::bigint[], $12::smallint[], $13::bytea[]) as c
), opened as (
  insert into ledger.reservations
    (partition, reservation_id, account_id, position, expires_at, amount, state)
  select $1::smallint, r.* from unnest(
    $14::uuid[], $15::uuid[], $16::bigint[], $17::timestamptz[], $18::bigint[], $19::bytea[]) as r
), closed as (
  delete from ledger.reservations where reservation_id = any($20::uuid[])
)

-- name: rare
, new_keys as (
  insert into ledger.api_keys
    (partition, key_id, account_id, secret_hash, purpose, prefix, allowed, cap_total, cap_day,
     cap_month, expires_at, lineage, rotates, status, position)
  select $1::smallint, k.key_id, k.account_id, k.secret_hash, k.purpose, k.prefix,
    case when k.allowed is not null then
      array(select jsonb_array_elements_text(k.allowed))
    end,
    k.cap_total, k.cap_day, k.cap_month, k.expires_at, k.lineage, k.rotates, k.status, k.position
  from unnest(
    $33::uuid[], $34::uuid[], $35::bytea[], $36::text[], $37::text[], $38::jsonb[], $39::bigint[],
    $40::bigint[], $41::bigint[], $42::timestamptz[], $43::uuid[], $44::uuid[], $45::text[],
    $46::bigint[])
    as k (key_id, account_id, secret_hash, purpose, prefix, allowed, cap_total, cap_day, cap_month,
          expires_at, lineage, rotates, status, position)
), changed_keys as (
  update ledger.api_keys set status = c.status, expires_at = c.expires_at
  from unnest($47::uuid[], $48::text[], $49::timestamptz[]) as c (key_id, status, expires_at)
  where api_keys.key_id = c.key_id
), texts as (
  insert into ledger.notes (note_id, account_id, kind, text, created_at)
  select n.* from unnest($50::uuid[], $51::uuid[], $52::text[], $53::text[], $54::timestamptz[]) as n
), extended as (
  update ledger.reservations set expires_at = x.expires_at, amount = x.amount, state = x.state
  from unnest($55::uuid[], $56::timestamptz[], $57::bigint[], $58::bytea[])
    as x (reservation_id, expires_at, amount, state)
  where reservations.reservation_id = x.reservation_id
), fees as (
  insert into ledger.fee_entries
    (partition, position, account_id, reservation_id, currency, minor, schedule)
  select $1::smallint, f.* from unnest(
    $59::bigint[], $60::uuid[], $61::uuid[], $62::text[], $63::bigint[], $64::text[]) as f
), refunds as (
  insert into ledger.refunded (partition, reservation_id, account_id, amount, margin, count)
  select $1::smallint, r.* from unnest(
    $65::uuid[], $66::uuid[], $67::bigint[], $68::bigint[], $69::int[]) as r
  on conflict (reservation_id) do update set
    amount = excluded.amount, margin = excluded.margin, count = excluded.count
), lots as (
  insert into ledger.granted
    (partition, account_id, position, grant_no, source, priority, expires_at, payment, granted,
     clawed, shortfall, causes)
  select $1::smallint, g.* from unnest(
    $70::uuid[], $71::bigint[], $72::int[], $73::text[], $74::smallint[], $75::timestamptz[],
    $76::text[], $77::bigint[], $78::bigint[], $79::bigint[], $80::jsonb[]) as g
), changed_lots as (
  update ledger.granted set clawed = granted.clawed + c.clawed,
    shortfall = granted.shortfall + c.shortfall,
    causes = jsonb_strip_nulls(granted.causes || c.causes)
  from unnest($81::uuid[], $82::int[], $83::bigint[], $84::bigint[], $85::jsonb[])
    as c (account_id, grant_no, clawed, shortfall, causes)
  where granted.account_id = c.account_id and granted.grant_no = c.grant_no
)

-- name: balances
-- Of accounts that have their row: a fifth cheaper than the upsert.
update ledger.accounts set available = b.available, reserved = b.reserved, version = b.version,
  position = b.position, head = b.head, armed = b.armed, next_expiry = b.next_expiry,
  state = b.state
from unnest(
  $21::uuid[], $22::bigint[], $23::bigint[], $24::bigint[], $25::bigint[], $26::bytea[],
  $27::boolean[], $28::timestamptz[], $29::bytea[])
  as b (account_id, available, reserved, version, position, head, armed, next_expiry, state)
where accounts.account_id = b.account_id

-- name: accounts
insert into ledger.accounts
  (partition, account_id, unit, plan, status, available, reserved, version, position, head, armed,
   next_expiry, state)
select $1::smallint, a.* from unnest(
  $21::uuid[], $22::text[], $23::text[], $24::text[], $25::bigint[], $26::bigint[], $27::bigint[],
  $28::bigint[], $29::bytea[], $30::boolean[], $31::timestamptz[], $32::bytea[]) as a
on conflict (account_id) do update set
  plan = excluded.plan, status = excluded.status, available = excluded.available,
  reserved = excluded.reserved, version = excluded.version, position = excluded.position,
  head = excluded.head, armed = excluded.armed, next_expiry = excluded.next_expiry,
  state = excluded.state

-- name: commands_by_key
select c.caller_id, c.kind, c.account_id, c.position, c.event_count, c.fingerprint
from unnest($1::uuid[], $2::smallint[], $3::uuid[]) as k (caller_id, kind, account_id)
join ledger.commands c using (caller_id, kind, account_id)

-- name: accounts_by_id
select account_id, unit, plan, status, available, reserved, version, position, head, armed, next_expiry, state
from ledger.accounts where account_id = any($1::uuid[]) and partition = $2

-- name: keys_by_account
select key_id, account_id, lineage, purpose, allowed, expires_at, status, cap_total, cap_day,
  cap_month
from ledger.api_keys where account_id = any($1::uuid[])

-- name: events_by_position
select position, body from ledger.events where partition = $1 and position = any($2::bigint[])

-- name: refunded
select reservation_id, account_id, amount, margin, count
from ledger.refunded where reservation_id = any($1::uuid[])

-- name: lots_by_number
select g.* from unnest($1::uuid[], $2::int[]) as n (account_id, grant_no)
join ledger.granted g using (account_id, grant_no)

-- name: lots_by_payment
-- All grants of the payments that are named, or that a named claim touched.
with named as (
  select distinct account_id, payment from ledger.granted
  where account_id = any($1::uuid[]) and payment is not null
    and (payment = any($2::text[]) or causes ?| $3::text[])
)
select g.* from named join ledger.granted g using (account_id, payment)

-- name: expiring_accounts
select account_id, next_expiry, state from ledger.accounts
where partition = $1 and next_expiry <= $2 and (next_expiry, account_id) > ($3, $4::uuid)
order by next_expiry, account_id limit $5

-- name: open_reservations
select state from ledger.reservations where partition = $1

-- name: last_event
select position, body from ledger.events where partition = $1 order by position desc limit 1

-- name: lock_holder
select l.pid from pg_locks l join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.granted and l.classid = $1 and l.objid = $2
  and a.datname = current_database() and l.pid <> pg_backend_pid()
