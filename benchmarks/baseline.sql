-- What a user would build instead: a balance row, a conditional update, an entry, a reservation.
create table balances (account_id int primary key, available bigint not null check (available >= 0),
  reserved bigint not null);
create table entries (entry_id bigint generated always as identity primary key, account_id int not null,
  reservation_id uuid not null unique, amount bigint not null, available bigint not null,
  created_at timestamptz not null default now());
create table holds (reservation_id uuid primary key, account_id int not null, amount bigint not null,
  expires_at timestamptz not null);
create function reserve(account int, wanted bigint) returns boolean language plpgsql as $$
declare
  id uuid := uuidv7();
  left_over bigint;
begin
  update balances set available = available - wanted, reserved = reserved + wanted
    where account_id = account and available >= wanted returning available into left_over;
  if not found then
    return false;
  end if;
  insert into entries (account_id, reservation_id, amount, available)
    values (account, id, -wanted, left_over);
  insert into holds values (id, account, wanted, now() + interval '1 hour');
  return true;
end $$;
insert into balances select i, 1000000000000, 0 from generate_series(1, 10000) as i;
