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
