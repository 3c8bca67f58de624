-- Claims a job, or says why not. Repeats safely under one token: the answer of a call may be lost.
-- KEYS: job hash; with a session also its history (list) and its applied job ids (two sets: see finish.lua).
-- ARGV: token, fingerprint, origin, incarnation, instance ('' for none), its start, lease, job id,
--       an incarnation whose heartbeat is gone ('' for none), how long an unfinished record is kept,
--       with how many crashes on its record the caller would run it, bytes of turns at most,
--       how long ago the caller first saw it (-1: nobody needs to know).
-- -> {'run', epoch, fails, crashes, first failure, turns, how long ago it was first seen} | {'done', state, reply}
--    | {'busy', ms, incarnation} | {'suspect', crashes} | {'conflict'}
local job = KEYS[1]
local token, fingerprint, origin, incarnation, instance = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local started_ms, lease_ms, id, presumed_dead, keep_ms = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8], ARGV[9], ARGV[10]

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local r = redis.call('HMGET', job, 'state', 'token', 'epoch', 'fails', 'crashes', 'first_failed_ms',
  'fingerprint', 'origin', 'holder', 'instance', 'started_ms', 'lease_until_ms', 'robbed')
local state, holder_token, holder = r[1], r[2], r[9]
local epoch, fails, crashes, first_failed_ms =
  tonumber(r[3] or 0), tonumber(r[4] or 0), tonumber(r[5] or 0), tonumber(r[6] or 0)

if (state == 'run' or state == 'ok') and r[7] ~= fingerprint then
  return {'conflict'}
end
local ended_badly = state == 'dead' or state == 'cancelled'
if state == 'ok' or (ended_badly and r[8] == origin) then
  return {'done', state, redis.call('HGET', job, 'reply')}
end

local repeated = state == 'run' and holder_token == token
-- The tokens that the crashes were counted for; one that comes back lives (see finish.lua).
local robbed, lives = string.gsub(r[13] or '', token .. ' ', '', 1)
crashes = math.max(crashes - lives, 0)
if state == 'run' and not repeated then
  local left = tonumber(r[12]) - now
  -- One instance has one life at a time: its newer incarnation knows that the older one is gone.
  local our_older_life = instance ~= '' and r[10] == instance and tonumber(r[11]) < started_ms
  if left > 0 and not our_older_life and holder ~= presumed_dead then
    return {'busy', left, holder}
  end
  crashes = crashes + 1
  robbed = string.sub(robbed .. holder_token .. ' ', -132) -- four are enough
elseif ended_badly then -- another origin: a replay starts afresh
  fails, crashes, first_failed_ms, robbed = 0, 0, 0, ''
end

if not repeated and crashes > tonumber(ARGV[11]) then -- to run among few or alone: the caller comes again
  if state == 'run' then
    redis.call('HSET', job, 'state', 'idle', 'token', '')
  end
  redis.call('HSET', job, 'crashes', crashes, 'robbed', robbed)
  redis.call('PEXPIRE', job, keep_ms)
  return {'suspect', crashes}
end

-- Reads come before writes: a key of the wrong type must not leave a claim behind.
local turns = {}
if KEYS[2] then
  -- Asked again after its turn was applied: what it sees ends before its own turn. When that was
  -- trimmed away, all that is left came later.
  local beyond_own = redis.call('SISMEMBER', KEYS[3], id) == 0 and redis.call('SISMEMBER', KEYS[4], id) == 0
  -- The newest that fit, whole: what the caller holds for each job has a bound. Read from the end, twice as many
  -- each time: little is read that isn't sent, however much somebody has put there.
  local room, back, last, count, full = tonumber(ARGV[12]), {}, -1, 1, false
  repeat
    local some = redis.call('LRANGE', KEYS[2], last - count + 1, last)
    for i = #some, 1, -1 do
      if not beyond_own then
        local ok, decoded = pcall(cjson.decode, some[i])
        beyond_own = ok and type(decoded) == 'table' and decoded.job == id
      else
        full = full or #some[i] > room
        if not full then
          back[#back + 1] = some[i]
          room = room - math.max(#some[i], 1)
        end
      end
    end
    full = full or #some < count
    last, count = last - count, count * 2
  until full
  for i = #back, 1, -1 do
    turns[#turns + 1] = back[i]
  end
end

-- Where no timestamp says how old the job is, the first who saw it does: a restart gives it no new deadline.
local seen_ago_ms = tonumber(ARGV[13])
if seen_ago_ms >= 0 then
  local seen_ms = not ended_badly and tonumber(redis.call('HGET', job, 'seen_ms') or '')
  if seen_ms then
    seen_ago_ms = math.max(seen_ago_ms, now - seen_ms)
  end
end

local lease_until_ms = string.format('%.0f', now + lease_ms)
if repeated then
  redis.call('HSET', job, 'lease_until_ms', lease_until_ms)
else
  epoch = epoch + 1
  redis.call('HSET', job, 'state', 'run', 'token', token, 'epoch', epoch, 'fails', fails, 'crashes', crashes,
    'first_failed_ms', string.format('%.0f', first_failed_ms), 'fingerprint', fingerprint, 'origin', origin,
    'holder', incarnation, 'instance', instance, 'started_ms', ARGV[6], 'lease_until_ms', lease_until_ms,
    'robbed', robbed)
end
if seen_ago_ms >= 0 then
  redis.call('HSET', job, 'seen_ms', string.format('%.0f', now - seen_ago_ms))
end
-- Not the lease: only so that a record whose job Kafka has deleted doesn't stay for ever.
redis.call('PEXPIRE', job, keep_ms)
return {'run', epoch, fails, crashes, first_failed_ms, turns, seen_ago_ms}
