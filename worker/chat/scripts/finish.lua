-- Ends a job: stores its reply and, for ok, appends its turn once. Repeats safely under one token.
-- KEYS: as begin.
-- ARGV: token, end state, reply, turn ('' for none), fingerprint, origin, job id, turns at most,
--       session's life (s), reply's life (s), claim epoch.
-- -> 'done' | 'lost' | 'cancelled'
local job = KEYS[1]
local token, end_state, reply, turn, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[7]
local turns_max, session_ttl_s, reply_ttl_s = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])

local r = redis.call('HMGET', job, 'state', 'token', 'cancel', 'robbed', 'crashes')
local state = r[1]
if state == 'idle' or (state and r[2] ~= token) then
  -- A holder that was robbed but lives is no suspect: what was taken for its crash is taken back.
  local robbed, found = string.gsub(r[4] or '', token .. ' ', '', 1)
  if found == 1 then
    redis.call('HSET', job, 'robbed', robbed, 'crashes', math.max(tonumber(r[5]) - 1, 0))
  end
  return 'lost'
end
if state and state ~= 'run' then
  return 'done' -- our own finish, repeated
end
if r[3] and end_state ~= 'cancelled' then
  return 'cancelled'
end

if end_state == 'ok' and KEYS[2] and turn ~= '' and turns_max > 0 then
  local history, applied = KEYS[2], KEYS[3]
  local seen = redis.call('SISMEMBER', applied, id) == 1
  if not seen and (not state or redis.call('EXISTS', applied) == 0) then
    -- Redis lost a key (eviction, failover): the set alone proves nothing.
    for _, old in ipairs(redis.call('LRANGE', history, -16, -1)) do
      local ok, decoded = pcall(cjson.decode, old)
      seen = seen or (ok and type(decoded) == 'table' and decoded.job == id)
    end
  end
  if not seen then
    redis.call('RPUSH', history, turn)
    redis.call('LTRIM', history, -turns_max, -1)
  end
  redis.call('SADD', applied, id)
  if session_ttl_s > 0 then
    redis.call('EXPIRE', history, session_ttl_s)
    redis.call('EXPIRE', applied, session_ttl_s)
  end
end

redis.call('HSET', job, 'state', end_state, 'reply', reply)
if not state then
  redis.call('HSET', job, 'token', token, 'epoch', ARGV[11], 'fingerprint', ARGV[5], 'origin', ARGV[6])
end
redis.call('HDEL', job, 'holder', 'instance', 'started_ms', 'lease_until_ms', 'cancel')
if r[4] == '' then
  redis.call('HDEL', job, 'robbed')
end
if reply_ttl_s > 0 then
  redis.call('EXPIRE', job, reply_ttl_s)
end
return 'done'
