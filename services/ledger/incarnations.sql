-- name: start
-- The first event of a new incarnation, on the partition's own stream, and its command.
with new_event as (
  insert into ledger.events (partition, position, account_id, version, type, body, hash)
  values ($1, $2, $3, $4, $5, $6, $7)
)
insert into ledger.commands (caller_id, kind, account_id, position, event_count, fingerprint)
values ($8, $9, $3, $2, 1, $10)

-- name: started
-- How an incarnation began (found by its command), and the event before it: of the one before.
select e.position, e.version, e.hash, e.body, b.body as before
from ledger.commands c
join ledger.events e on e.partition = $1 and e.position = c.position
left join ledger.events b on b.partition = $1 and b.position = c.position - 1
where c.caller_id = $2 and c.kind = $3 and c.account_id = $4
