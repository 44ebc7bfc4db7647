-- The statements of the projector. Names are unqualified: the reader's search_path is `ledger`,
-- and verify folds into temporary tables of the same names, which PostgreSQL finds first.

-- name: begin_positions
insert into projection_positions (projection, partition, position)
select name, $2::smallint, 0 from unnest($1::text[]) as name
on conflict do nothing

-- name: positions
select projection, position from projection_positions where partition = $1

-- name: advance
-- No row is changed when another process moved the projection meanwhile.
update projection_positions set position = $4
where projection = $1 and partition = $2 and position = $3
returning position

-- name: events_after
select position, type, body from events
where partition = $1 and position > $2 order by position limit $3

-- name: lost_reservation
-- Whether the log's own Reserve event of a reservation, which its row should have come from.
select e.body from commands c
join events e on e.partition = $4 and e.position >= c.position
  and e.position < c.position + c.event_count
where c.caller_id = $1 and c.kind = $2 and c.account_id = $3

-- name: requests_by_id
select reservation_id, partition, account_id, key_id, operation, surface, model, status, state,
  reserved, charge, margin, cost_pico, released, refunded, loss, loss_kind, basis, usage, route,
  route_reason, attempts, finish, fee, tags, catalogue, opened_at, closed_at, opened_position,
  closed_position, available_after, calls
from requests where reservation_id = any($1::uuid[])

-- name: save_requests
insert into requests (
  reservation_id, partition, account_id, key_id, operation, surface, model, status, state,
  reserved, charge, margin, cost_pico, released, refunded, loss, loss_kind, basis, usage, route,
  route_reason, attempts, finish, fee, tags, catalogue, opened_at, closed_at, opened_position,
  closed_position, available_after, calls)
select * from unnest(
  $1::uuid[], $2::smallint[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[],
  $8::smallint[], $9::text[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[],
  $14::bigint[], $15::bigint[], $16::bigint[], $17::text[], $18::text[], $19::jsonb[],
  $20::text[], $21::text[], $22::jsonb[], $23::text[], $24::jsonb[], $25::jsonb[], $26::text[],
  $27::timestamptz[], $28::timestamptz[], $29::bigint[], $30::bigint[], $31::bigint[],
  $32::jsonb[])
on conflict (reservation_id) do update set
  model = excluded.model, status = excluded.status, state = excluded.state,
  reserved = excluded.reserved, charge = excluded.charge, margin = excluded.margin,
  cost_pico = excluded.cost_pico, released = excluded.released, refunded = excluded.refunded,
  loss = excluded.loss, loss_kind = excluded.loss_kind, basis = excluded.basis,
  usage = excluded.usage, route = excluded.route, route_reason = excluded.route_reason,
  attempts = excluded.attempts, finish = excluded.finish, fee = excluded.fee,
  closed_at = excluded.closed_at, closed_position = excluded.closed_position,
  available_after = excluded.available_after, calls = excluded.calls

-- name: save_entries
-- The unit is the account's; key and operation of a later line are those of its reservation.
insert into entries (
  account_id, position, line, partition, occurred_at, type, amount, available, reserved, unit,
  res, grant_no, key_id, operation, source, reason_code)
select e.account_id, e.position, e.line, e.partition, e.occurred_at, e.type, e.amount, e.available,
  e.reserved, a.unit, e.res, e.grant_no, coalesce(e.key_id, r.key_id),
  coalesce(e.operation, r.operation), e.source, e.reason_code
from unnest(
  $1::uuid[], $2::bigint[], $3::smallint[], $4::smallint[], $5::timestamptz[], $6::text[],
  $7::bigint[], $8::bigint[], $9::bigint[], $10::uuid[], $11::int[], $12::uuid[], $13::text[],
  $14::text[], $15::text[])
  as e (account_id, position, line, partition, occurred_at, type, amount, available, reserved,
        res, grant_no, key_id, operation, source, reason_code)
left join accounts a on a.account_id = e.account_id
left join requests r on r.reservation_id = e.res

-- name: grants_by_key
select g.account_id, g.grant_no, partition, position, grant_id, source, priority, expires_at, paid,
  payment, pack, parent_no, reason_code, granted_at, granted, available, reserved, charged,
  refunded, expired, clawed, moved, shortfall
from unnest($1::uuid[], $2::int[]) as k (account_id, grant_no)
join grants g on g.account_id = k.account_id and g.grant_no = k.grant_no

-- name: save_grants
insert into grants (
  account_id, grant_no, partition, position, grant_id, source, priority, expires_at, paid, payment,
  pack, parent_no, reason_code, granted_at, granted, available, reserved, charged, refunded,
  expired, clawed, moved, shortfall)
select * from unnest(
  $1::uuid[], $2::int[], $3::smallint[], $4::bigint[], $5::uuid[], $6::text[], $7::smallint[],
  $8::timestamptz[], $9::jsonb[], $10::text[], $11::text[], $12::int[], $13::text[],
  $14::timestamptz[], $15::bigint[], $16::bigint[], $17::bigint[], $18::numeric[], $19::numeric[],
  $20::bigint[], $21::bigint[], $22::bigint[], $23::bigint[])
on conflict (account_id, grant_no) do update set
  available = excluded.available, reserved = excluded.reserved, charged = excluded.charged,
  refunded = excluded.refunded, expired = excluded.expired, clawed = excluded.clawed,
  moved = excluded.moved, shortfall = excluded.shortfall

-- name: usage_by_key
select u.account_id, u.day, u.key_id, u.operation, u.model, partition, requests, released, charged,
  margin, cost_pico, refunded, usage
from unnest($1::uuid[], $2::date[], $3::uuid[], $4::text[], $5::text[])
  as k (account_id, day, key_id, operation, model)
join usage_daily u on u.account_id = k.account_id and u.day = k.day and u.key_id = k.key_id
  and u.operation = k.operation and u.model = k.model

-- name: save_usage
insert into usage_daily (
  account_id, day, key_id, operation, model, partition, requests, released, charged, margin,
  cost_pico, refunded, usage)
select * from unnest(
  $1::uuid[], $2::date[], $3::uuid[], $4::text[], $5::text[], $6::smallint[], $7::bigint[],
  $8::bigint[], $9::numeric[], $10::numeric[], $11::numeric[], $12::numeric[], $13::jsonb[])
on conflict (account_id, day, key_id, operation, model) do update set
  requests = excluded.requests, released = excluded.released, charged = excluded.charged,
  margin = excluded.margin, cost_pico = excluded.cost_pico, refunded = excluded.refunded,
  usage = excluded.usage

-- name: save_fees
-- The sum so far is that of the account's last line of the same currency and schedule.
insert into fees (
  account_id, position, partition, occurred_at, res, key_id, operation, currency, schedule, minor,
  total)
select f.account_id, f.position, f.partition, f.occurred_at, f.res, r.key_id, r.operation,
  f.currency, f.schedule, f.minor, coalesce(p.total, 0) + sum(f.minor) over (
    partition by f.account_id, f.currency, f.schedule order by f.position)
from unnest(
  $1::uuid[], $2::bigint[], $3::smallint[], $4::timestamptz[], $5::uuid[], $6::text[], $7::text[],
  $8::bigint[])
  as f (account_id, position, partition, occurred_at, res, currency, schedule, minor)
left join requests r on r.reservation_id = f.res
left join lateral (
  select total from fees l
  where l.account_id = f.account_id and l.currency = f.currency and l.schedule = f.schedule
  order by l.position desc limit 1) p on true
