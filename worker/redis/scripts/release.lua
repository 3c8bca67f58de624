-- Gives a claim back: the job is idle again. A repeat under the same token counts no second failure.
-- KEYS: job hash. ARGV: token, 'retry' (counts a failure) or 'drop', how long an idle record is kept.
-- -> {1 when the claim was ours, fails}
local job, token = KEYS[1], ARGV[1]
local r = redis.call('HMGET', job, 'state', 'token', 'fails', 'robbed', 'crashes')
local state, fails = r[1], tonumber(r[3] or 0)

if (state ~= 'run' and state ~= 'idle') or r[2] ~= token then
  local robbed, found = string.gsub(r[4] or '', token .. ' ', '', 1) -- robbed but alive: see finish.lua
  if found == 1 then
    redis.call('HSET', job, 'robbed', robbed, 'crashes', math.max(tonumber(r[5]) - 1, 0))
  end
  return {0, fails}
end
if state == 'run' then
  redis.call('HSET', job, 'state', 'idle')
  if ARGV[2] == 'retry' then
    fails = redis.call('HINCRBY', job, 'fails', 1)
    if fails == 1 then
      local time = redis.call('TIME')
      local now = time[1] * 1000 + math.floor(time[2] / 1000)
      redis.call('HSET', job, 'first_failed_ms', string.format('%.0f', now))
    end
  end
  redis.call('PEXPIRE', job, ARGV[3])
end
return {1, fails}
