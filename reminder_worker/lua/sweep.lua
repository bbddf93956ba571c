#!lua flags=allow-oom
-- Wakes again what a lost wake-up or a dead worker left behind, after a longer time at each try.
-- An open attempt is never sent again from here: a worker is only asked to find out what became of it.
-- ARGV: at most, lease ms, most claims, keep_ms, keep dead letters ms
-- Returns member, version for each one to wake; member, -1 for each that has become a dead letter.

local most, lease, most_claims, keep_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local MOST_ACTS = 10000  -- users that write lines cannot remove any, so this script does
local wake, SLOWEST, SLOWEST_LOOK = {}, 6, 3  -- an attempt in doubt is looked at every few minutes at least

local function slower(times, slowest) return lease * 2 ^ math.min(times, slowest) end

local function ended(key, before)
  return redis.call('ZRANGE', key, '-inf', before, 'BYSCORE', 'LIMIT', 0, most)
end

-- A lease that was given by a clock that was ahead, and has been put back since, would last for as long as it was ahead.
local function end_those_ahead(leases)
  local furthest = now + slower(SLOWEST, SLOWEST) + TEN_MS
  for _, member in ipairs(redis.call('ZRANGE', leases, furthest, '+inf', 'BYSCORE', 'LIMIT', 0, most)) do
    redis.call('ZADD', leases, now, member)
  end
end

end_those_ahead(LIVE)
end_those_ahead(OPEN)

for _, member in ipairs(ended(LIVE, now)) do
  local key = reminder(member)
  local state, version, claims = unpack(redis.call('HMGET', key, 'state', 'version', 'claims'))
  if state == 'claimed' and tonumber(claims) >= most_claims then
    redis.call('ZREM', LIVE, member)
    redis.call('ZADD', DEAD, now, member)
    redis.call('HSET', key, 'state', 'failed', 'reason', 'poison', 'class', 'technical')
    wake[#wake + 1] = member
    wake[#wake + 1] = -1
  elseif state then
    redis.call('HSET', key, 'state', 'queued')
    redis.call('HDEL', key, 'token')
    redis.call('ZADD', LIVE, now + slower(redis.call('HINCRBY', key, 'wakes', 1) - 1, SLOWEST), member)
    wake[#wake + 1] = member
    wake[#wake + 1] = tonumber(version)
  else
    redis.call('ZREM', LIVE, member)
  end
end

for _, member in ipairs(ended(OPEN, now)) do
  local version = redis.call('HGET', reminder(member), 'version')
  if version then
    local looks = redis.call('HINCRBY', reminder(member), 'looks', 1)
    redis.call('ZADD', OPEN, now + slower(looks - 1, SLOWEST_LOOK), member)
    wake[#wake + 1] = member
    wake[#wake + 1] = tonumber(version)
  else
    redis.call('ZREM', OPEN, member)
  end
end

for _, member in ipairs(ended(DEAD, now - ARGV[5])) do
  finish(member, 'failed', 'poison', 'technical', keep_ms)
end
local over = ended(HELD, now)
for _, member in ipairs(over) do  -- nobody decided to send it in time
  local id = string.sub(member, 1, 16)
  local version, leads, left, tag, ticket = head_of(id)
  redis.call('ZREM', HELD, member)
  if version and has(left, bit_of(member)) and redis.call('ZSCORE', UNKNOWN, member) then
    write_head(id, version, leads, left - bit_of(member), tag, ticket, keep_ms)
  end
end
if #over < most then  -- else the envelopes of some are still to go
  redis.call('ZREMRANGEBYSCORE', UNKNOWN, '-inf', now - keep_ms)  -- their rows are gone by then
end
redis.call('LTRIM', ACTS, -MOST_ACTS, -1)
return wake
