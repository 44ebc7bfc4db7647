-- The one statement of the writer: events, commands, reservations and balances, or nothing.
--
-- A data-modifying CTE does not see what its siblings insert: what opens and closes in one batch
-- is netted out in memory. One row an account, or the upsert fails (SQLSTATE 21000).
-- The hot statement is `log` + `balances`; a batch that changes more is `log` + `rare` + `accounts`.
--
-- Columns come as array literals, and bytes joined: `starts` and `sizes` say where each part lies
-- ($7, $8 for the bodies). Hashes are 32 bytes each and need neither.

-- name: log
with new_events as (
  insert into ledger.events (partition, position, account_id, version, type, body, hash)
  select $1::smallint, e.position, e.account_id, e.version, e.type,
    substr($6::bytea, e.start, e.size), substr($9::bytea, 32 * e.n::int - 31, 32)
  from unnest(
    $2::text::bigint[], $3::text::uuid[], $4::text::bigint[], $5::text::smallint[],
    $7::text::int[], $8::text::int[])
    with ordinality as e (position, account_id, version, type, start, size, n)
), new_commands as (
  insert into ledger.commands (caller_id, kind, account_id, position, event_count, fingerprint)
  select c.caller_id, c.kind, c.account_id, c.position, c.event_count,
    substr($15::bytea, 32 * c.n::int - 31, 32)
  from unnest(
    $10::text::uuid[], $11::text::smallint[], $12::text::uuid[], $13::text::bigint[],
    $14::text::smallint[])
    with ordinality as c (caller_id, kind, account_id, position, event_count, n)
), opened as (
  insert into ledger.reservations
    (partition, reservation_id, account_id, position, expires_at, amount, state)
  select $1::smallint, r.reservation_id, r.account_id, r.position, r.expires_at, r.amount,
    nullif(substr($21::bytea, r.start, r.size), '')
  from unnest(
    $16::text::uuid[], $17::text::uuid[], $18::text::bigint[], $19::text::timestamptz[],
    $20::text::bigint[], $22::text::int[], $23::text::int[])
    as r (reservation_id, account_id, position, expires_at, amount, start, size)
), closed as (
  delete from ledger.reservations where reservation_id = any($24::text::uuid[])
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
    $39::uuid[], $40::uuid[], $41::bytea[], $42::text[], $43::text[], $44::jsonb[], $45::bigint[],
    $46::bigint[], $47::bigint[], $48::timestamptz[], $49::uuid[], $50::uuid[], $51::text[],
    $52::bigint[])
    as k (key_id, account_id, secret_hash, purpose, prefix, allowed, cap_total, cap_day, cap_month,
          expires_at, lineage, rotates, status, position)
), changed_keys as (
  update ledger.api_keys set status = c.status, expires_at = c.expires_at
  from unnest($53::uuid[], $54::text[], $55::timestamptz[]) as c (key_id, status, expires_at)
  where api_keys.key_id = c.key_id
), texts as (
  insert into ledger.notes (note_id, account_id, kind, text, created_at)
  select n.* from unnest($56::uuid[], $57::uuid[], $58::text[], $59::text[], $60::timestamptz[]) as n
), extended as (
  update ledger.reservations set expires_at = x.expires_at, amount = x.amount, state = x.state
  from unnest($61::uuid[], $62::timestamptz[], $63::bigint[], $64::bytea[])
    as x (reservation_id, expires_at, amount, state)
  where reservations.reservation_id = x.reservation_id
), fees as (
  insert into ledger.fee_entries
    (partition, position, account_id, reservation_id, currency, minor, schedule)
  select $1::smallint, f.* from unnest(
    $65::bigint[], $66::uuid[], $67::uuid[], $68::text[], $69::bigint[], $70::text[]) as f
), refunds as (
  insert into ledger.refunded (partition, reservation_id, account_id, amount, margin, count)
  select $1::smallint, r.* from unnest(
    $71::uuid[], $72::uuid[], $73::bigint[], $74::bigint[], $75::int[]) as r
  on conflict (reservation_id) do update set
    amount = excluded.amount, margin = excluded.margin, count = excluded.count
), lots as (
  insert into ledger.granted
    (partition, account_id, position, grant_no, source, priority, expires_at, payment, granted,
     clawed, shortfall, causes)
  select $1::smallint, g.* from unnest(
    $76::uuid[], $77::bigint[], $78::int[], $79::text[], $80::smallint[], $81::timestamptz[],
    $82::text[], $83::bigint[], $84::bigint[], $85::bigint[], $86::jsonb[]) as g
), changed_lots as (
  update ledger.granted set clawed = granted.clawed + c.clawed,
    shortfall = granted.shortfall + c.shortfall,
    causes = jsonb_strip_nulls(granted.causes || c.causes)
  from unnest($87::uuid[], $88::int[], $89::bigint[], $90::bigint[], $91::jsonb[])
    as c (account_id, grant_no, clawed, shortfall, causes)
  where granted.account_id = c.account_id and granted.grant_no = c.grant_no
), published as (
  insert into ledger.published (partition, hash, position, effective_from, withdrawn_from)
  select $1::smallint, p.*
  from unnest($92::text[], $93::bigint[], $94::timestamptz[], $95::timestamptz[]) as p
), withdrawn as (
  update ledger.published set withdrawn_from = w.at
  from unnest($96::text[], $97::timestamptz[]) as w (hash, at)
  where published.partition = $1 and published.hash = w.hash
), catalogues as (
  insert into ledger.catalogues (hash, text)
  select c.* from unnest($98::text[], $99::text[]) as c
  on conflict (hash) do nothing
)

-- name: balances
-- Of accounts that have their row: a fifth cheaper than the upsert.
update ledger.accounts set available = b.available, reserved = b.reserved, version = b.version,
  position = b.position, head = substr($30::bytea, 32 * b.n::int - 31, 32), armed = b.armed,
  next_expiry = b.next_expiry, state = substr($33::bytea, b.start, b.size)
from unnest(
  $25::text::uuid[], $26::text::bigint[], $27::text::bigint[], $28::text::bigint[],
  $29::text::bigint[], $31::text::boolean[], $32::text::timestamptz[], $34::text::int[],
  $35::text::int[])
  with ordinality
  as b (account_id, available, reserved, version, position, armed, next_expiry, start, size, n)
where accounts.account_id = b.account_id

-- name: accounts
insert into ledger.accounts
  (partition, account_id, unit, plan, status, available, reserved, version, position, head, armed,
   next_expiry, state)
select $1::smallint, a.account_id, a.unit, a.plan, a.status, a.available, a.reserved, a.version,
  a.position, substr($30::bytea, 32 * a.n::int - 31, 32), a.armed, a.next_expiry,
  substr($33::bytea, a.start, a.size)
from unnest(
  $25::text::uuid[], $26::text::bigint[], $27::text::bigint[], $28::text::bigint[],
  $29::text::bigint[], $31::text::boolean[], $32::text::timestamptz[], $34::text::int[],
  $35::text::int[], $36::text[], $37::text[], $38::text[])
  with ordinality
  as a (account_id, available, reserved, version, position, armed, next_expiry, start, size, unit,
        plan, status, n)
on conflict (account_id) do update set
  plan = excluded.plan, status = excluded.status, available = excluded.available,
  reserved = excluded.reserved, version = excluded.version, position = excluded.position,
  head = excluded.head, armed = excluded.armed, next_expiry = excluded.next_expiry,
  state = excluded.state

-- name: one
-- The same for one command of one event, alone in its batch: without columns to take apart.
with new_event as (
  insert into ledger.events (partition, position, account_id, version, type, body, hash)
  values ($1, $2, $3, $4, $5, $6, $7)
), new_command as (
  insert into ledger.commands (caller_id, kind, account_id, position, event_count, fingerprint)
  values ($8, $9, $3, $2, 1, $10)
), opened as (
  insert into ledger.reservations
    (partition, reservation_id, account_id, position, expires_at, amount, state)
  select $1, $11::uuid, $3, $2, $12::text::timestamptz, $13::bigint, nullif($14::bytea, '')
  where $11::uuid is not null
), closed as (
  delete from ledger.reservations where reservation_id = $15
)
update ledger.accounts set available = $16, reserved = $17, version = $4, position = $2,
  head = $7, armed = $18, next_expiry = $19::text::timestamptz, state = $20
where account_id = $3

-- name: commands_by_key
select c.caller_id, c.kind, c.account_id, c.position, c.event_count, c.fingerprint
from unnest($1::text::uuid[], $2::text::smallint[], $3::text::uuid[])
  as k (caller_id, kind, account_id)
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

-- name: fees_given_back
select distinct account_id, reservation_id, currency, -minor, schedule
from ledger.fee_entries where reservation_id = any($1::uuid[]) and minor < 0

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
-- `state` is null where the event that opened the hold says all there is.
select r.account_id, r.state, case when r.state is null then e.body end as body
from ledger.reservations r
left join ledger.events e on e.partition = r.partition and e.position = r.position and r.state is null
where r.partition = $1

-- name: owners
select caller_id, account_id from ledger.commands where caller_id = any($1::uuid[]) and kind = $2

-- name: published
select hash, position, effective_from, withdrawn_from from ledger.published where partition = $1

-- name: stream_end
-- The last event of the partition's own stream: a catalogue, or the life that the log lives.
select version, hash, position from ledger.events
where partition = $1 and position = greatest(
  (select max(position) from ledger.published where partition = $1),
  (select position from ledger.commands where caller_id = $2 and kind = $3 and account_id = $4))

-- name: last_event
select position, body from ledger.events where partition = $1 order by position desc limit 1

-- name: lock_holder
select l.pid from pg_locks l join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.granted and l.classid = $1 and l.objid = $2
  and a.datname = current_database() and l.pid <> pg_backend_pid()
