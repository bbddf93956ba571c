#!lua flags=allow-oom
-- Matches an attempt with its receipts, if these hold only the provider's own name for the text.
-- ARGV: name, ref (of an attempt; '' with a receipt), receipt, keep ms
-- With an attempt: returns the receipts that came before. With a receipt: returns the ref, or nothing, and keeps it.
local EARLY_MS, MOST = 3600000, 8
local attempt, early, ref, keep_ms = P .. 'm:' .. ARGV[1], P .. 'e:' .. ARGV[1], ARGV[2], ARGV[4]
if ref ~= '' then
  redis.call('SET', attempt, ref, 'PX', keep_ms)
  return redis.call('LRANGE', early, 0, -1)
end
local known = redis.call('GET', attempt)
if known then return known end
redis.call('RPUSH', early, ARGV[3])
redis.call('LTRIM', early, -MOST, -1)
redis.call('PEXPIRE', early, EARLY_MS)
