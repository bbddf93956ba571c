#!lua flags=allow-oom
-- Takes events that platforms are to be told now, each with a lease: a process that dies may not have told it.
-- ARGV: at most, lease ms
-- Returns now, when the next one is to be told, ms (or -1), then event, ticket for each one taken.

local taken = {}

-- No event waits for longer than a day: one that does was left or leased by a clock that was ahead and has been put back.
for _, event in ipairs(redis.call('ZRANGE', EVENTS, now + DAY_MS, '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[1])) do
  redis.call('ZADD', EVENTS, now, event)
end
for _, event in ipairs(redis.call('ZRANGE', EVENTS, '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])) do
  local id = string.sub(event, 1, 16)
  local _, _, _, _, ticket = head_of(id)
  redis.call('ZADD', EVENTS, now + ARGV[2], event)
  taken[#taken + 1] = event
  taken[#taken + 1] = ticket_of(id, ticket or 0)
end
local next_one = redis.call('ZRANGE', EVENTS, 0, 0, 'WITHSCORES')[2] or -1
return {now, tonumber(next_one), unpack(taken)}
