#!lua flags=allow-oom
-- Learns how a call that admit.lua allowed went, once; keys there. Runs on shard 0.
-- While a circuit is open, only its trial speaks: the other calls began before, and tell nothing new.
-- ARGV: provider, call, ok | failed | misconfigured | doubted | throttled | released, ms to wait (throttled),
--   cost to give back, the day it was reserved on
-- Returns 1 where the circuit has just opened.

local provider, call, result, wait, unspent = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local circuit, spent = P .. 'c:' .. provider, P .. 's:' .. provider .. '|' .. ARGV[6]
local FAILURES, MISCONFIGURED, DOUBTS = 5, 3, 10  -- in a row, until nobody is sent there
local FIRST_MS, LONGEST_MS, CALM_MS = 30000, 300000, 600000
local FIRST, LEAST, MOST, PAUSE_MS = 250000, 2000, 10000000, 60000  -- the first three: microseconds between calls
local QUICKLY, SLOWLY = 1000000, 60000000  -- in how many it is called twice as often
-- Until when two halves of a pace compare, for how long none is tried again, which part is fewer, of how many texts.
local FRESH_MS, USELESS_MS, LESS, SOME = 600000, 300000, 0.8, 8
local REPORTED_MS, IDLE_MS = 60000, 3600000

if not redis.call('SET', P .. 'x:' .. call, 1, 'NX', 'PX', REPORTED_MS) then return 0 end

local open_until, prober, opened, closed, paused, pace, too_fast, useless =
  unpack(redis.call('HMGET', circuit, 'until', 'prober', 'opened', 'closed', 'paused', 'pace', 'toofast', 'useless'))
opened, closed, paused = tonumber(opened or 0), to_come(closed, 1, 0), to_come(paused, 1, 0)
pace, too_fast = tonumber(pace or nil), tonumber(too_fast or nil)
if prober == call then redis.call('HDEL', circuit, 'probe', 'prober') end
if unspent > 0 and redis.call('EXISTS', spent) == 1 then redis.call('DECRBY', spent, unspent) end

-- A provider that throttles is called at a pace: ever faster, up to twice as fast within a second; once it is known what
-- was too fast, within a minute. Each time that it throttles again nobody is called for a while, and that costs more.
local function faster()
  if too_fast and pace < too_fast * 0.8 then redis.call('HDEL', circuit, 'toofast') end  -- it was, then
  pace = pace * 2 ^ (-pace / (too_fast and SLOWLY or QUICKLY))
  if pace > LEAST then
    redis.call('HSET', circuit, 'pace', pace)
    redis.call('HINCRBY', circuit, 'took', 1)
  else redis.call('HDEL', circuit, 'pace', 'next', 'from', 'since', 'took', 'brought') end
end

-- Whoever throttles by chance, or for others' sake, does so however slowly it is called. Where half the pace brought
-- fewer texts through, pauses included, it is called as before for a while, and only the pauses are kept.
local function helps(slower_pace)
  local from, since, took, brought = unpack(redis.call('HMGET', circuit, 'from', 'since', 'took', 'brought'))
  if from and slower_pace < from * 2 then return true end
  local fresh = from and now - since < FRESH_MS
  local brings = fresh and (took or 0) / math.max(now - since, 1)
  if brings and brought and brings < brought * LESS and tonumber(took) >= SOME then
    redis.call('HDEL', circuit, 'from', 'since', 'took', 'brought', 'toofast')
    redis.call('HSET', circuit, 'pace', from / 2, 'useless', now + USELESS_MS)
    return false
  end
  redis.call('HSET', circuit, 'from', slower_pace, 'since', now, 'took', 0)
  if brings then redis.call('HSET', circuit, 'brought', brings) else redis.call('HDEL', circuit, 'brought') end
  return true
end

local function slower()
  if now < to_come(useless, 1, 0) then return end
  local slower_pace = pace and math.min(pace * (too_fast and 1.25 or 2), MOST) or FIRST
  if not helps(slower_pace) then return end
  if pace then redis.call('HSET', circuit, 'toofast', pace) end
  redis.call('HSET', circuit, 'pace', slower_pace)
end

local function learn()
  if result == 'released' or (open_until and prober ~= call) then return 0 end
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
    if paused <= now then slower() end  -- else it had begun before
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
