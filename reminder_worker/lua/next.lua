#!lua flags=allow-oom
-- Calls reminders that wait for a provider, those that fell due first before others; keys: admit.lua. Runs on shard 0.
-- Some are called ahead, each for a moment of its own, since it takes a while until they are here.
-- ARGV: provider, then reminders, each with its news: when it fell due, ms (it joins those that wait), or -1 (it is
--   here, or will not come), or -2 (it has ended, and waits no longer)
-- Returns those that are called, each followed by the ms in which it is to come. One that does not come makes room.

local provider = ARGV[1]
local circuit, expected, crowd = P .. 'c:' .. provider, P .. 'b:' .. provider, P .. 'q:' .. provider
local MOST, AHEAD, COME_MS, IDLE_MS = 64, 500, 5000, 3600000

for i = 2, #ARGV, 2 do
  redis.call('ZREM', expected, ARGV[i])
  if ARGV[i + 1] == '-2' then redis.call('ZREM', crowd, ARGV[i])
  elseif ARGV[i + 1] ~= '-1' then redis.call('ZADD', crowd, ARGV[i + 1], ARGV[i]) end
end
redis.call('PEXPIRE', crowd, IDLE_MS)
redis.call('ZREMRANGEBYSCORE', expected, '-inf', now)
redis.call('ZREMRANGEBYSCORE', expected, now + TEN_MS, '+inf')  -- they were called by a clock that has been put back

local is_open, probe, paused, pace, next_call =
  unpack(redis.call('HMGET', circuit, 'until', 'probe', 'paused', 'pace', 'next'))
local open = math.max(now, to_come(is_open, 1, 0), is_open and to_come(probe, 1, 0) or 0, to_come(paused, 1, 0))
local at, most, gap = math.max(open, to_come(next_call, 1000, 0) / 1000), MOST, math.max((pace or 0) / 1000, 1)
if is_open then most = 1 elseif pace then most = math.max(1, math.floor(AHEAD / gap)) end
local near = at + AHEAD + COME_MS  -- one called for a later time was called while the provider was away
local last = redis.call('ZRANGE', expected, near, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, 1, 'WITHSCORES')[2]
if last then at = math.max(at, last - COME_MS + gap) end

local come, free = {}, most - redis.call('ZCARD', expected)
for _, member in ipairs(free > 0 and redis.call('ZRANGE', crowd, 0, free - 1) or {}) do
  redis.call('ZREM', crowd, member)
  redis.call('ZADD', expected, at + COME_MS, member)
  come[#come + 1] = member
  come[#come + 1] = math.floor(at - now)
  at = at + gap
end
if #come > 0 then redis.call('PEXPIRE', expected, IDLE_MS) end
local left = redis.call('ZCARD', crowd)
if left > 0 then
  redis.call('HSET', circuit, 'crowd', left)
  redis.call('PEXPIRE', circuit, IDLE_MS)
else redis.call('HDEL', circuit, 'crowd') end
return come
