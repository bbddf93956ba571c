#!lua flags=allow-oom
-- Has reminders that wait in the schedule taken sooner: the provider that they wait for has called them. Never later than
-- they would have come by themselves: this clock may be ahead.
-- ARGV: provider, then each reminder, and in how many ms it is to be taken
-- Returns those that no longer wait.

local gone = {}
for i = 2, #ARGV, 2 do
  local member = ARGV[i]
  -- Returns a score, unless it is not there; a worker has no right to ZSCORE.
  local function waits_until(place) return redis.call('ZADD', place, 'XX', 'INCR', 0, member) end
  local waits = waits_until(DUE) or waits_until(TURNS)
  if waits then
    redis.call('ZREM', DUE, member)
    redis.call('ZADD', TURNS, math.min(waits, now + ARGV[i + 1]), member)
  end
  if waits or redis.call('HGET', reminder(member), 'state') == 'queued' then  -- it was on its way by itself
    redis.call('HSET', reminder(member), 'called', ARGV[1])
  else gone[#gone + 1] = member end
end
return gone
