#!lua flags=allow-oom
-- Takes what is due, and leases it: first those whose turn has come, because they were due before all others; then the
-- soonest. If a wake-up is lost, sweep makes another.
-- ARGV: at most, how many may be live at once, lease ms
-- Returns now, due and not taken, next due ms (or -1), then member, version for each one taken.

local most, capacity, lease = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local room = math.max(0, math.min(most, capacity - redis.call('ZCARD', LIVE)))
local taken, waiting, next_due = {}, 0, -1

local function take(place)
  local left = room - #taken / 2
  local found = left > 0 and redis.call('ZRANGE', place, '-inf', now, 'BYSCORE', 'LIMIT', 0, left, 'WITHSCORES') or {}
  for i = 1, #found, 2 do
    local member, due = found[i], found[i + 1]
    local version = head_of(string.sub(member, 1, 16))
    redis.call('ZREM', place, member)
    if version then
      local key = reminder(member)
      redis.call('ZADD', LIVE, now + lease, member)
      redis.call('HSET', key, 'state', 'queued', 'version', version, 'wakes', 1)
      if place == DUE and not redis.call('HGET', key, 'due') then redis.call('HSET', key, 'due', due) end  -- no retry's
      taken[#taken + 1] = member
      taken[#taken + 1] = version
    end
  end
  waiting = waiting + redis.call('ZCOUNT', place, '-inf', now)
  local first = tonumber(redis.call('ZRANGE', place, 0, 0, 'WITHSCORES')[2])
  if first and (next_due < 0 or first < next_due) then next_due = first end
end

take(TURNS)
take(DUE)
return {now, waiting, next_due, unpack(taken)}
