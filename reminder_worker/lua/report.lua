#!lua flags=allow-oom
-- Learns how a call that admit.lua allowed went, once; keys there. Runs on shard 0.
-- While a circuit is open, only its trial counts: the other calls began before, and show nothing new.
-- ARGV: provider, call, ok | failed | misconfigured | doubted | throttled | released, ms to wait (throttled),
--   cost to give back, the day it was reserved on
-- Returns 1 if the circuit has just opened.

local provider, call, result, wait, unspent = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local circuit, spent = P .. 'c:' .. provider, P .. 's:' .. provider .. '|' .. ARGV[6]
local FAILURES, MISCONFIGURED, DOUBTS = 5, 3, 10  -- in a row, before the circuit opens
local FIRST_MS, LONGEST_MS, CALM_MS = 30000, 300000, 600000
local FIRST, LEAST, MOST, PAUSE_MS = 250000, 2000, 10000000, 60000  -- the first three: microseconds between calls
local QUICKLY, SLOWLY = 1000000, 60000000  -- microseconds after which it is called twice as often
-- How much slower it is called then; how much slower, and after how many calls, a throttling counts as in vain; how many
-- of these make slowing down useless, and for how long.
local SLOWER, STILL, SOME, VAIN, USELESS_MS = 1.25, 1.1, 3, 4, 300000
local REPORTED_MS, IDLE_MS = 60000, 3600000

if not redis.call('SET', P .. 'x:' .. call, 1, 'NX', 'PX', REPORTED_MS) then return 0 end

local open_until, prober, opened, closed, paused, pace, too_fast, took, vain, useless =
  unpack(redis.call('HMGET', circuit, 'until', 'prober', 'opened', 'closed', 'paused', 'pace', 'toofast', 'took', 'vain',
    'useless'))
opened, closed, paused = tonumber(opened or 0), to_come(closed, 1, 0), to_come(paused, 1, 0)
pace, too_fast = tonumber(pace or nil), tonumber(too_fast or nil)
if prober == call then redis.call('HDEL', circuit, 'probe', 'prober') end
if unspent > 0 and redis.call('EXISTS', spent) == 1 then redis.call('DECRBY', spent, unspent) end

-- A provider that throttles is called at a pace: ever faster, up to twice as fast within a second; or within a minute,
-- once it is known what was too fast. Each time it throttles again no call is made for a while, and that costs more.
local function faster()
  if too_fast and pace < too_fast * 0.8 then redis.call('HDEL', circuit, 'toofast') end  -- it was, then
  pace = pace * 2 ^ (-pace / (too_fast and SLOWLY or QUICKLY))
  if pace > LEAST then
    redis.call('HSET', circuit, 'pace', pace)
  else redis.call('HDEL', circuit, 'pace', 'next', 'toofast', 'took', 'vain') end
end

-- A provider that throttles by chance, or because of other customers, does so however slowly it is called: more often at
-- a pace slower than what was too fast than at that pace again. Then for a while only its pauses are kept, and no pace.
local function by_chance()
  if not too_fast or tonumber(took or 0) < SOME then return false end
  local says = pace > too_fast * STILL and 1 or pace <= too_fast and -1 or 0
  vain = math.max((vain or 0) + says, 0)
  redis.call('HSET', circuit, 'vain', vain)
  return vain >= VAIN
end

local function slower()
  redis.call('HDEL', circuit, 'took')
  if now < to_come(useless, 1, 0) then return end
  if by_chance() then
    redis.call('HDEL', circuit, 'toofast', 'vain')
    redis.call('HSET', circuit, 'useless', now + USELESS_MS)
    return
  end
  if pace then redis.call('HSET', circuit, 'toofast', pace) end
  redis.call('HSET', circuit, 'pace', pace and math.min(pace * (too_fast and SLOWER or 2), MOST) or FIRST)
end

local function learn()
  if result == 'released' or (open_until and prober ~= call) then return 0 end
  if pace and result ~= 'throttled' then redis.call('HINCRBY', circuit, 'took', 1) end
  if result == 'ok' then
    redis.call('HDEL', circuit, 'failed', 'misconfigured', 'doubted', 'until')
    if open_until then redis.call('HSET', circuit, 'closed', now) end
    if opened > 0 and not open_until and now - closed > CALM_MS then redis.call('HDEL', circuit, 'opened', 'closed') end
    if paused <= now then redis.call('HDEL', circuit, 'paused') end
    if pace then faster() end
    if useless and now >= to_come(useless, 1, 0) then redis.call('HDEL', circuit, 'useless') end
    return 0
  end
  if result == 'throttled' then
    redis.call('HSET', circuit, 'paused', math.max(paused, now + math.min(wait, PAUSE_MS)))
    if paused <= now then slower() end  -- else this call had begun before the pause
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
