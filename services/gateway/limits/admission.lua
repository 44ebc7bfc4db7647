-- Lets one request of an account in, or not: its place among those under way, then its rate.
-- One step on the server and by the server's clock, so that all gateways agree.
-- The arithmetic is services/gateway/limits/rate.py; numbers stay below 2^53 and exact.
--
-- KEYS: 1 the debt and since when, "debt:at_ms"   2 the places taken, by when each ends
-- ARGV: 1 requests  2 per_ms  3 most at once (0: not counted)  4 request id  5 lease in ms
-- Returns {0 let in | 1 rate | 2 places, debt}
local requests, per_ms, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function owe(debt)
  local text = string.format('%.0f:%.0f', debt, now)
  redis.call('SET', KEYS[1], text, 'PX', math.ceil(debt / requests) + 1)
end

local debt = 0
local known = redis.call('GET', KEYS[1])
if known then
  local was, at = string.match(known, '^(%d+):(%d+)$')
  debt, at = tonumber(was), tonumber(at)
  if at > now then
    owe(debt) -- the clock went back: nothing is forgiven for that, but from now on again
  else
    debt = math.max(0, debt - (now - at) * requests)
  end
end

if most > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
  if redis.call('ZCARD', KEYS[2]) >= most then
    return {2, debt}
  end
end
if debt > (requests - 1) * per_ms then
  return {1, debt}
end
debt = debt + per_ms
owe(debt)
if most > 0 then
  redis.call('ZADD', KEYS[2], now + tonumber(ARGV[5]), ARGV[4])
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
end
return {0, debt}
