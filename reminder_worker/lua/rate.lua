#!lua flags=allow-oom
-- Counts calls of a platform at the gateway (GCRA). Runs on shard 0.
-- Key: k:<tag> STRING (the tag changes every day) when the calls so far will have been spread out evenly, microseconds
-- ARGV: tag, microseconds between calls, how many at once, how many now
-- Returns ms to wait, 0 where they may be made. Said twice it counts twice: that is no harm.
local key, gap, burst, cost = P .. 'k:' .. ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now_us = time[1] * 1000000 + time[2]
local at = math.max(tonumber(redis.call('GET', key) or 0), now_us)
local after = at + cost * gap
if after - now_us > burst * gap then return math.ceil((after - now_us - burst * gap) / 1000) end
redis.call('SET', key, string.format('%.0f', after), 'PX', math.ceil((after - now_us) / 1000) + 1000)
return 0
