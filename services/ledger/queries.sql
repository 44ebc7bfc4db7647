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
select reservation_id, account_id, amount, expires_at, position from ledger.reservations
where partition = $1 and reservation_id > $2 and ($4::uuid is null or account_id = $4)
order by reservation_id limit $3

-- name: keys
select key_id, purpose, prefix, allowed, cap_total, cap_day, cap_month, expires_at, lineage,
  rotates, status, position
from ledger.api_keys where account_id = $1 and partition = $2
order by status, position desc

-- name: catalogues
select hash, effective_from, withdrawn_from, position from ledger.published
where partition = $1 order by position

-- name: catalogue
select text, (select position from ledger.events where partition = $1 order by position desc limit 1)
    as log_end
from ledger.catalogues where hash = $2
