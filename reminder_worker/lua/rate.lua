#!lua flags=allow-oom
-- Counts calls of platforms at the gateway (GCRA). Runs on shard 0.
-- Key: k:<tag> STRING (the tag changes every day) when the calls so far will have been spread out evenly, microseconds
-- ARGV, of each that asks: tag, microseconds between calls, how many at once, how many now
-- Returns, of each: ms to wait, 0 where they may be made. Said twice it counts twice: that is no harm.
local now_us, waits = time[1] * 1000000 + time[2], {}
for i = 1, #ARGV, 4 do
  local key, gap, burst, cost = P .. 'k:' .. ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local at = math.max(to_come(redis.call('GET', key), 1000, burst * gap), now_us)
  local after = at + cost * gap
  if after - now_us > burst * gap then
    waits[#waits + 1] = math.ceil((after - now_us - burst * gap) / 1000)
  else
    redis.call('SET', key, string.format('%.0f', after), 'PX', math.ceil((after - now_us) / 1000) + 1000)
    waits[#waits + 1] = 0
  end
end
return waits
