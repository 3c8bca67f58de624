-- Cancels a job that the caller doesn't run, so that whoever ends first wins. Repeats safely.
-- KEYS: job hash. ARGV: token of a claim that the caller may hold without knowing ('' for none), fingerprint, origin, reply,
--       reply's life (s).
-- -> {'ended'}: it is cancelled now, with this reply | {'done', state, reply}: it had ended before
--    | {'told', ms}: somebody runs it, whose end will say so; its lease's rest | {'other'}: the id is another content's
local job = KEYS[1]
local token, fingerprint, origin, reply, reply_ttl_s = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])

local r = redis.call('HMGET', job, 'state', 'token', 'fingerprint', 'origin', 'lease_until_ms')
local state = r[1]

if state == 'run' and r[2] ~= token then
  local time = redis.call('TIME')
  local left = tonumber(r[5]) - (time[1] * 1000 + math.floor(time[2] / 1000))
  if left > 0 then
    redis.call('HSET', job, 'cancel', 1)
    return {'told', left}
  end
end
if (state == 'run' or state == 'ok') and r[3] ~= fingerprint then
  if state == 'run' then -- nobody renews it: whoever begins it next is told
    redis.call('HSET', job, 'cancel', 1)
  end
  return {'other'}
end
-- A cancelled one is answered the same from wherever it comes again; a dead one from another origin is a replay.
if state == 'ok' or (state == 'cancelled' and r[3] == fingerprint) or (state == 'dead' and r[4] == origin) then
  return {'done', state, redis.call('HGET', job, 'reply')}
end

-- A claim that ran out is lost to its holder: the token isn't its own any more.
redis.call('HSET', job, 'state', 'cancelled', 'token', token, 'reply', reply, 'fingerprint', fingerprint, 'origin', origin)
redis.call('HDEL', job, 'holder', 'instance', 'started_ms', 'lease_until_ms', 'cancel')
if reply_ttl_s > 0 then
  redis.call('EXPIRE', job, reply_ttl_s)
end
return {'ended'}
