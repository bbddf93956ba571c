#!lua flags=allow-oom
-- Counts calls of platforms at the gateway (GCRA). Runs on shard 0.
-- Key: k:<tag> STRING (the tag changes every day) when the calls so far will have been spread out evenly, microseconds
-- ARGV, for each platform that asks: tag, microseconds between calls, how many at once, how many now
-- Returns, for each: ms to wait, 0 if the calls may be made. If run twice, it counts twice, which does no harm.
local now_us, waits = time[1] * 1000000 + time[2], {}
for i = 1, #ARGV, 4 do
  local key, gap, burst, cost = P .. 'k:' .. ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local known = to_come(redis.call('GET', key), 1000, burst * gap)
  local at = math.max(math.min(known, now_us + burst * gap), now_us) -- later times come from a clock that was a little ahead
  local wait = math.max(0, math.ceil((at + cost * gap - now_us - burst * gap) / 1000))
  if wait == 0 then at = at + cost * gap end
  if wait == 0 or known > at then
    redis.call('SET', key, string.format('%.0f', at), 'PX', math.ceil((at - now_us) / 1000) + 1000)
  end
  waits[#waits + 1] = wait
end
return waits
