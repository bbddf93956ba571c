#!lua flags=allow-oom
-- Learns how a call that admit.lua allowed went; keys there. Runs on shard 0.
-- ARGV: provider, call, ok | failed | misconfigured | doubted | throttled | released, ms to wait (throttled), cost to give back
-- Returns 1 where the circuit has just opened.

local provider, call, result, wait = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local circuit, busy = P .. 'c:' .. provider, P .. 'b:' .. provider
local spent = P .. 's:' .. provider .. '|' .. math.floor(now / DAY_MS)
local FAILURES, MISCONFIGURED, DOUBTS = 5, 3, 10  -- in a row, until nobody is sent there
local FIRST_MS, LONGEST_MS, CALM_MS = 30000, 300000, 600000
local FEWEST, MOST, PAUSE_MS = 4, 64, 60000

local open_until, opened, closed, slots, paused =
  unpack(redis.call('HMGET', circuit, 'until', 'opened', 'closed', 'slots', 'paused'))
opened, closed, slots = tonumber(opened or 0), tonumber(closed or 0), tonumber(slots or nil)
local under_way = redis.call('ZCARD', busy)
redis.call('ZREM', busy, call)
redis.call('HDEL', circuit, 'probe')
if tonumber(ARGV[5]) > 0 and redis.call('EXISTS', spent) == 1 then redis.call('DECRBY', spent, ARGV[5]) end
redis.call('PEXPIRE', circuit, 3600000)

if result == 'released' then return 0 end
if result == 'ok' then
  redis.call('HDEL', circuit, 'failed', 'misconfigured', 'doubted', 'until')
  if open_until then redis.call('HSET', circuit, 'closed', now) end
  if opened > 0 and not open_until and now - closed > CALM_MS then redis.call('HDEL', circuit, 'opened', 'closed') end
  if paused and tonumber(paused) < now then redis.call('HDEL', circuit, 'paused') end
  if slots and slots >= MOST then redis.call('HDEL', circuit, 'slots')
  elseif slots then redis.call('HSET', circuit, 'slots', slots + 1 / slots) end
  return 0
end
if result == 'throttled' then
  redis.call('HSET', circuit, 'paused', now + math.min(wait, PAUSE_MS))
  redis.call('HSET', circuit, 'slots', slots and math.max(1, math.floor(math.min(slots, under_way) / 2)) or FEWEST)
  return 0
end
local in_a_row = redis.call('HINCRBY', circuit, result, 1)
local most = ({failed = FAILURES, misconfigured = MISCONFIGURED, doubted = DOUBTS})[result]
if in_a_row < most and not open_until then return 0 end
redis.call('HSET', circuit, 'until', now + math.min(FIRST_MS * 2 ^ opened, LONGEST_MS), 'opened', math.min(opened + 1, 8))
return open_until and 0 or 1
