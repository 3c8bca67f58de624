-- Corrects what permit_take took by what was used: more, less or nothing. Not to be repeated.
-- KEYS: as permit_take. ARGV: for each the µs to add; negative: to give back; 0: it stays as it is.
-- -> now in µs
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local arrival = {}
for i, key in ipairs(KEYS) do
  if tonumber(ARGV[i]) ~= 0 then
    local text = redis.call('GET', key) or '0'
    if not string.find(text, '^%d+$') or #text > 16 then
      return redis.error_reply('PERMIT a key of permits holds something else')
    end
    -- Never below now: time that nobody used isn't saved up beyond the burst.
    arrival[i] = math.max(math.max(tonumber(text), now) + tonumber(ARGV[i]), now)
  end
end
for i, key in ipairs(KEYS) do
  if arrival[i] == now then
    redis.call('DEL', key)
  elseif arrival[i] then
    redis.call('SET', key, string.format('%.0f', arrival[i]), 'PX', math.ceil((arrival[i] - now) / 1000) + 1000)
  end
end
return now
