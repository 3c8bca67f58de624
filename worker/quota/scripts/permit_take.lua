-- Takes one request and its tokens from a provider's two limits, now or for a later start; both or neither. GCRA, the
-- generic cell rate algorithm of ATM (ITU-T I.371), in the form of brandur.org/rate-limiting: a limit is one number, its
-- theoretical arrival time, which is when all that was taken will have been used at the rate.
-- KEYS: requests, tokens: each a time in µs, as Redis' clock goes.
-- ARGV: cost and burst in µs, of requests and of tokens (burst 0: no such limit); how long a start may be away, in µs.
-- -> {1 when taken, µs until the start, which limit asks for the wait (1, 2; 0: none), now in µs}
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local arrival, cost = {}, {}
local start, asked_by = now, 0
for i, key in ipairs(KEYS) do
  local burst = tonumber(ARGV[2 * i])
  if burst > 0 then
    local text = redis.call('GET', key) or '0'
    if not string.find(text, '^%d+$') or #text > 16 then
      return redis.error_reply('PERMIT a key of permits holds something else')
    end
    arrival[i], cost[i] = tonumber(text), tonumber(ARGV[2 * i - 1])
    -- What costs more than the burst starts when nothing else is left to be used; refused it would be for ever.
    local due = arrival[i] + cost[i] - math.max(burst, cost[i])
    if due > start then
      start, asked_by = due, i
    end
  end
end

local wait = start - now
if wait > tonumber(ARGV[5]) then
  return {0, wait, asked_by, now}
end
for i, key in ipairs(KEYS) do
  if cost[i] then
    -- As of the start, which is now or later: what a limit leaves unused until then isn't saved up, not even while only
    -- the other one asks for the wait. Else a line for tokens would end in a burst of requests.
    local next_arrival = math.max(arrival[i], start) + cost[i]
    -- In the past it means nothing; a second more, since clocks step.
    redis.call('SET', key, string.format('%.0f', next_arrival), 'PX', math.ceil((next_arrival - now) / 1000) + 1000)
  end
end
return {1, wait, asked_by, now}
