-- Reserves tokens of a tenant's day, or says what is left of it.
-- KEYS: the tenant's hashes (spent, reserved) of three UTC days in a row, around the one that the worker's clock shows:
-- Redis' clock says which one counts, so that all workers change days at once.
-- ARGV: the first one's number (days since 1970), tokens, limit (0: none).
-- -> {1 when reserved, day, tokens left, ms until the day ends}
local time = redis.call('TIME')
local day = math.floor(time[1] / 86400)
local day_left_ms = 86400000 - (time[1] % 86400 * 1000 + math.floor(time[2] / 1000))
local tokens, limit = tonumber(ARGV[2]), tonumber(ARGV[3])

local key = KEYS[day - tonumber(ARGV[1]) + 1]
if not key then
  return redis.error_reply("CLOCK the worker's clock and Redis' are more than a day apart")
end
local r = redis.call('HMGET', key, 'spent', 'reserved')
local spent, reserved = tonumber(r[1] or 0), tonumber(r[2] or 0)
if not spent or not reserved then
  return redis.error_reply("BUDGET a budget's hash holds something else")
end
local left = limit - spent - reserved
if limit > 0 and tokens > left then
  return {0, day, math.max(left, 0), day_left_ms}
end
redis.call('HINCRBY', key, 'reserved', ARGV[2])
redis.call('EXPIRE', key, 172800) -- longer than any call that will settle
return {1, day, limit > 0 and left - tokens or 0, day_left_ms}
