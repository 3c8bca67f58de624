-- Ends a job: stores its reply and, for ok, appends its turn once. Repeats safely under one token.
-- KEYS: as begin.
-- ARGV: token, end state, reply, turn ('' for none), fingerprint, origin, job id, turns at most,
--       session's life (s), reply's life (s), claim epoch, ids at most in a set of applied ones.
-- -> 'done' | 'lost' | 'cancelled'
local job = KEYS[1]
local token, end_state, reply, turn, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[7]
local turns_max, session_ttl_s, reply_ttl_s, applied_max = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[12])

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
  local history, applied, full = KEYS[2], KEYS[3], KEYS[4]
  local count, full_count = redis.call('SCARD', applied), redis.call('SCARD', full)
  local seen = redis.call('SISMEMBER', applied, id) == 1 or redis.call('SISMEMBER', full, id) == 1
  if not seen and (not state or count + full_count == 0) then
    -- Redis lost a key (eviction, failover): the sets alone prove nothing.
    for _, old in ipairs(redis.call('LRANGE', history, -16, -1)) do
      local ok, decoded = pcall(cjson.decode, old)
      seen = seen or (ok and type(decoded) == 'table' and decoded.job == id)
    end
  end
  if not seen then
    redis.call('RPUSH', history, turn)
    redis.call('LTRIM', history, -turns_max, -1)
  end
  -- One set takes the ids until it is full; then the other is emptied and takes them. So the newest applied_max are known,
  -- and never twice as many. Earlier versions know the first set alone and let it grow: it counts as full then.
  if count >= applied_max then
    applied, full, count, full_count = full, applied, full_count, count
  end
  if count + redis.call('SADD', applied, id) >= applied_max then
    redis.call('UNLINK', full)
  end
  if session_ttl_s > 0 then
    redis.call('EXPIRE', history, session_ttl_s)
    redis.call('EXPIRE', applied, session_ttl_s)
    redis.call('EXPIRE', full, session_ttl_s)
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
