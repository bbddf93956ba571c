#!lua flags=allow-oom
-- Learns how a call that admit.lua allowed went, once; keys there. Runs on shard 0.
-- While a circuit is open, only its trial speaks: the other calls began before, and tell nothing new.
-- ARGV: provider, call, ok | failed | misconfigured | doubted | throttled | released, ms to wait (throttled),
--   cost to give back, the day it was reserved on
-- Returns 1 where the circuit has just opened.

local provider, call, result, wait, unspent = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local circuit, busy, spent = P .. 'c:' .. provider, P .. 'b:' .. provider, P .. 's:' .. provider .. '|' .. ARGV[6]
local FAILURES, MISCONFIGURED, DOUBTS = 5, 3, 10  -- in a row, until nobody is sent there
local FIRST_MS, LONGEST_MS, CALM_MS = 30000, 300000, 600000
local FEWEST, MOST, CAREFUL, PAUSE_MS = 4, 64, 32, 60000
local REPORTED_MS, IDLE_MS = 60000, 3600000

if not redis.call('SET', P .. 'x:' .. call, 1, 'NX', 'PX', REPORTED_MS) then return 0 end

local open_until, prober, opened, closed, slots, paused, too_many =
  unpack(redis.call('HMGET', circuit, 'until', 'prober', 'opened', 'closed', 'slots', 'paused', 'toomany'))
opened, closed, slots = tonumber(opened or 0), tonumber(closed or 0), tonumber(slots or nil)
local under_way = redis.call('ZCARD', busy)
redis.call('ZREM', busy, call)
if prober == call then redis.call('HDEL', circuit, 'probe', 'prober') end
if unspent > 0 and redis.call('EXISTS', spent) == 1 then redis.call('DECRBY', spent, unspent) end

local function learn()
  if result == 'released' or (open_until and prober ~= call) then return 0 end
  if result == 'ok' then
    redis.call('HDEL', circuit, 'failed', 'misconfigured', 'doubted', 'until')
    if open_until then redis.call('HSET', circuit, 'closed', now) end
    if opened > 0 and not open_until and now - closed > CALM_MS then redis.call('HDEL', circuit, 'opened', 'closed') end
    if paused and tonumber(paused) <= now then redis.call('HDEL', circuit, 'paused') end
    if slots and slots >= MOST then redis.call('HDEL', circuit, 'slots', 'toomany')
    elseif slots then  -- one more with each round; around what was too many the last time, with each 32 rounds
      local rounds = too_many and math.abs(slots - too_many) <= 1 and CAREFUL or 1
      redis.call('HSET', circuit, 'slots', slots + 1 / slots / rounds)
    end
    return 0
  end
  if result == 'throttled' then
    redis.call('HSET', circuit, 'paused', now + math.min(wait, PAUSE_MS))
    if slots then
      local at_once = math.min(slots, under_way)
      redis.call('HSET', circuit, 'slots', math.max(1, math.floor(at_once / 2)), 'toomany', at_once)
    else redis.call('HSET', circuit, 'slots', FEWEST) end
    return 0
  end
  local in_a_row = redis.call('HINCRBY', circuit, result, 1)
  local most = ({failed = FAILURES, misconfigured = MISCONFIGURED, doubted = DOUBTS})[result]
  if in_a_row < most and not open_until then return 0 end
  local span = math.min(FIRST_MS * 2 ^ opened, LONGEST_MS)
  redis.call('HSET', circuit, 'until', now + span, 'opened', math.min(opened + 1, 8))
  return open_until and 0 or 1
end

local just_opened = learn()
redis.call('PEXPIRE', circuit, IDLE_MS)
return just_opened
