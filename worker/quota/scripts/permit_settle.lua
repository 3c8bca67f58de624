-- Corrects what permit_take took by what was used: more, less or nothing. Not to be repeated, but for 0 and 0: that only looks.
-- KEYS: as permit_take. ARGV: for each the µs to add; negative: to give back; 0: it stays as it is.
-- -> {now, of each limit when all that was taken will have been used at the rate (0: nothing is)}, in µs
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local arrival = {}
for i, key in ipairs(KEYS) do
  local text = redis.call('GET', key) or '0'
  local whole = string.find(text, '^%d+$') and #text <= 16
  if not whole and tonumber(ARGV[i]) ~= 0 then
    return redis.error_reply('PERMIT a key of permits holds something else')
  end
  arrival[i] = whole and tonumber(text) or 0
  if tonumber(ARGV[i]) ~= 0 then
    -- Never below now: time that nobody used isn't saved up beyond the burst.
    arrival[i] = math.max(math.max(arrival[i], now) + tonumber(ARGV[i]), now)
  end
end
for i, key in ipairs(KEYS) do
  if tonumber(ARGV[i]) ~= 0 then
    if arrival[i] == now then
      redis.call('DEL', key)
    else
      redis.call('SET', key, string.format('%.0f', arrival[i]), 'PX', math.ceil((arrival[i] - now) / 1000) + 1000)
    end
  end
end
return {now, arrival[1], arrival[2]}
