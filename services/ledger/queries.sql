-- What the reader answers. Each statement gives `log_end`, the last position of the partition at
-- the moment of its own snapshot, so that an answer can be ordered against events.

-- name: installation
select i.partitions, i.incarnation, coalesce(e.position, 0) as log_end, e.body as last_body
from ledger.installation i
left join lateral (
  select position, body from ledger.events where partition = $1 order by position desc limit 1
) e on true

-- name: key_by_hash
select k.key_id, k.account_id, k.purpose, k.allowed, k.status as key_status, k.expires_at,
  a.unit, a.plan, a.status as account_status,
  (select position from ledger.events where partition = $1 order by position desc limit 1)
    as log_end
from ledger.api_keys k join ledger.accounts a using (account_id)
where k.secret_hash = $2 and k.partition = $1

-- name: account
select unit, plan, available, reserved, status, armed, state,
  (select position from ledger.events where partition = $1 order by position desc limit 1)
    as log_end
from ledger.accounts where account_id = $2 and partition = $1

-- name: standing
-- How far a projection must come before it can speak of this account, and how far it is.
select a.position as needed, coalesce(p.position, 0) as reached,
  (select position from ledger.events where partition = $1 order by position desc limit 1)
    as log_end
from ledger.accounts a
left join ledger.projection_positions p on p.projection = $3 and p.partition = $1
where a.account_id = $2 and a.partition = $1

-- name: entries
select position, line, occurred_at, type, amount, available, reserved, unit, res, grant_no, key_id,
  operation, source, reason_code
from ledger.entries
where account_id = $1 and (position, line) > ($2, $3) and position <= $4
order by position, line limit $5

-- name: request
select * from ledger.requests where reservation_id = $1 and account_id = $2

-- name: log_end
select position from ledger.events where partition = $1 order by position desc limit 1

-- name: events
select position, type, body from ledger.events
where partition = $1 and position >= $2 order by position limit $3

-- name: command_events
select e.position, e.body from ledger.commands c
join ledger.events e on e.partition = $4 and e.position >= c.position
  and e.position < c.position + c.event_count
where c.caller_id = $1 and c.kind = $2 and c.account_id = $3
order by e.position

-- name: reservations
-- Of the account $3, or of all when it is null. What the receipt knows may come a moment later.
select o.reservation_id, o.account_id, o.amount, o.expires_at, o.position, r.key_id, r.operation,
  r.opened_at
from ledger.reservations o left join ledger.requests r on r.reservation_id = o.reservation_id
where o.partition = $1 and o.reservation_id > $2 and ($3::uuid is null or o.account_id = $3)
order by o.reservation_id limit $4

-- name: keys
-- Of the status $3 those issued before position $4, then the revoked ones; $5: this one alone.
select k.key_id, k.purpose, k.prefix, k.allowed, k.cap_total, k.cap_day, k.cap_month, k.expires_at,
  k.lineage, k.rotates, k.status, k.position, e.body
from ledger.api_keys k
left join ledger.events e on e.partition = k.partition and e.position = k.position
where k.account_id = $1 and k.partition = $2 and ($5::uuid is null or k.key_id = $5)
  and (k.status > $3 or (k.status = $3 and k.position < $4))
order by k.status, k.position desc limit $6

-- name: notes
select note_id, text from ledger.notes where note_id = any($1::uuid[])

-- name: accounts
select account_id, unit, plan, status, available, reserved from ledger.accounts
where partition = $1 and account_id > $2 order by account_id limit $3

-- name: grants
select grant_id, grant_no, source, priority, granted_at, expires_at, paid, payment, pack, parent_no,
  reason_code, position, granted, available, reserved, charged, refunded, expired, clawed, moved,
  shortfall
from ledger.grants where account_id = $1 and grant_no > $2 order by grant_no limit $3

-- name: requests
-- A request's model is known before it has one: on every surface but $10 it is what was asked for.
select * from ledger.requests
where account_id = $1 and ($2::bigint is null or opened_position < $2)
  and ($3::timestamptz is null or opened_at >= $3) and ($4::timestamptz is null or opened_at < $4)
  and ($5::text is null or (operation = $5 and surface <> all($10::text[])))
  and ($6::uuid is null or key_id = $6) and ($7::text is null or operation = $7)
  and ($8::text is null or state = $8) and ($9::jsonb is null or tags @> $9)
order by opened_position desc limit $11

-- name: usage
-- $4 to $7: whether to group by day, model, key, operation. $8 is null on the first page.
-- $13: of the requests with all these tags, each on the day that it ended; $14 as $10 of requests.
with used as (
  select day, model, key_id, operation, requests, released, charged, margin, cost_pico, refunded,
    usage
  from ledger.usage_daily
  where $13::jsonb is null and account_id = $1 and day between $2 and $3
  union all
  select (closed_at at time zone 'utc')::date, case when surface = any($14) then '' else operation end,
    key_id, operation, 1, (state <> 'settled' and charge = 0)::int, charge, margin,
    coalesce(cost_pico, 0), refunded, coalesce(usage, '{}')
  from ledger.requests
  where $13 is not null and account_id = $1 and state <> 'open' and tags @> $13
    and (closed_at at time zone 'utc')::date between $2 and $3),
grouped as (
  select case when $4 then day else '0001-01-01' end as day, case when $5 then model else '' end
    as model, case when $6 then key_id else '00000000-0000-0000-0000-000000000000' end as key_id,
    case when $7 then operation else '' end as operation, sum(requests)::bigint as requests,
    sum(released)::bigint as released, sum(charged) as charged, sum(margin) as margin,
    sum(cost_pico) as cost_pico, sum(refunded) as refunded, array_agg(usage) as metered
  from used group by 1, 2, 3, 4)
select day, model, key_id, operation, requests, released, charged, margin, cost_pico, refunded,
  (select jsonb_object_agg(kind, count) from (
    select m.key as kind, sum(m.value::numeric) as count
    from unnest(metered) as u, jsonb_each_text(u) as m group by 1) s) as usage
from grouped
where $8::date is null or (day, model, key_id, operation) > ($8, $9, $10, $11)
order by day, model, key_id, operation limit $12

-- name: fees
select position, occurred_at, res, key_id, operation, currency, schedule, minor, total
from ledger.fees where account_id = $1 and position > $2 and position <= $3
order by position limit $4

-- name: fee_totals
select distinct on (currency, schedule) currency, schedule, total as minor
from ledger.fees where account_id = $1 and position <= $2
order by currency, schedule, position desc

-- name: catalogues
select hash, effective_from, withdrawn_from, position from ledger.published
where partition = $1 order by position

-- name: catalogue
select text, (select position from ledger.events where partition = $1 order by position desc limit 1)
    as log_end
from ledger.catalogues where hash = $2
