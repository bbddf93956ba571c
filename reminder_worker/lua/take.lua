#!lua flags=allow-oom
-- Takes what is due, soonest first, and leases it; a wake-up that is lost is made again by sweep.
-- ARGV: at most, how many may be live at once, lease ms
-- Returns now, due and not taken, next due ms (or -1), then member, version of each one taken.

local most, capacity, lease = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local room = math.max(0, math.min(most, capacity - redis.call('ZCARD', LIVE)))
local taken = {}
if room > 0 then
  local found = redis.call('ZRANGE', DUE, '-inf', now, 'BYSCORE', 'LIMIT', 0, room, 'WITHSCORES')
  for i = 1, #found, 2 do
    local member, due = found[i], found[i + 1]
    local version = head_of(string.sub(member, 1, 16))
    redis.call('ZREM', DUE, member)
    if version then
      redis.call('ZADD', LIVE, now + lease, member)
      redis.call('HSET', reminder(member), 'state', 'queued', 'version', version, 'due', due, 'wakes', 1)
      taken[#taken + 1] = member
      taken[#taken + 1] = version
    end
  end
end
local next_due = redis.call('ZRANGE', DUE, 0, 0, 'WITHSCORES')[2] or -1
return {now, redis.call('ZCOUNT', DUE, '-inf', now), tonumber(next_due), unpack(taken)}
