-- Extends the lease, under the claim's own token only. One that ran out but that nobody took is still ours, and so is
-- one whose record Redis lost: finish will accept it.
-- KEYS: job hash. ARGV: token, lease. -> 1 | 0: lost
local job, token = KEYS[1], ARGV[1]
local r = redis.call('HMGET', job, 'state', 'token', 'robbed', 'crashes')
if not r[1] then
  return 1
end
if r[1] == 'run' and r[2] == token then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('HSET', job, 'lease_until_ms', string.format('%.0f', now + tonumber(ARGV[2])))
  return 1
end
local robbed, found = string.gsub(r[3] or '', token .. ' ', '', 1) -- robbed but alive: see finish.lua
if found == 1 then
  redis.call('HSET', job, 'robbed', robbed, 'crashes', math.max(tonumber(r[4]) - 1, 0))
end
return 0
