-- Puts what was used in the place of what budget_take reserved. Not to be repeated.
-- KEYS: the hash of the day that it was reserved on. ARGV: tokens reserved, tokens used. -> 1
local key = KEYS[1]
local r = redis.call('HMGET', key, 'spent', 'reserved')
local spent, reserved = tonumber(r[1] or 0), tonumber(r[2] or 0)
if not spent or not reserved then
  return redis.error_reply("BUDGET a budget's hash holds something else")
end
-- Redis may have lost the reservation (eviction, failover); what was spent counts all the same.
redis.call('HSET', key, 'spent', string.format('%.0f', spent + tonumber(ARGV[2])),
  'reserved', string.format('%.0f', math.max(reserved - tonumber(ARGV[1]), 0)))
redis.call('EXPIRE', key, 172800)
return 1
