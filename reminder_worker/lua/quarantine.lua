#!lua flags=allow-oom
-- Holds what may have been sent between the backup from which this store was put back and now: all that was due, with a
-- worker or with a provider, and dead letters that an operator may have retried. Once nothing is left, workers may start.
-- ARGV: at most, until when it was due, ms (0: now; after that, what the first call of a run returned), keep_ms
-- Returns until when, then how many were held that were due, with a worker, with a provider, and dead letters; then how
-- many were due, including those whose appointment no longer exists.

local RESTORED_DAYS = 60  -- however briefly outcomes are kept: a lead may be days long, and a platform slow
local most, last, keep_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if last == 0 then last = now end
local room, numbers = most, {last}

-- A reminder that is handed in again and was due by then is held as well: by the worker, which knows when it was due.
local before = tonumber(redis.call('GET', P .. 'restored') or 0)
redis.call('SET', P .. 'restored', string.format('%.0f', math.max(before, last)), 'PX', RESTORED_DAYS * DAY_MS)

local function hold_all(place, found)
  numbers[place + 1], room = #found, room - #found
  for _, member in ipairs(found) do hold(member, keep_ms) end
end

local due = redis.call('ZRANGE', DUE, '-inf', last, 'BYSCORE', 'LIMIT', 0, room, 'WITHSCORES')
local found = {}
for i = 1, #due, 2 do
  local version = head_of(string.sub(due[i], 1, 16))
  redis.call('ZREM', DUE, due[i])
  if version then
    redis.call('HSET', reminder(due[i]), 'version', version, 'due', due[i + 1])
    found[#found + 1] = due[i]
  end
end
local rest = room - #found
for _, member in ipairs(rest > 0 and redis.call('ZRANGE', TURNS, 0, rest - 1) or {}) do found[#found + 1] = member end
hold_all(1, found)
hold_all(2, room > 0 and redis.call('ZRANGE', LIVE, 0, room - 1) or {})
hold_all(3, room > 0 and redis.call('ZRANGE', OPEN, 0, room - 1) or {})
hold_all(4, room > 0 and redis.call('ZRANGE', DEAD, 0, room - 1) or {})

if room == most and #due == 0 then
  local seen = tonumber(redis.call('GET', P .. 'seen') or 0)
  redis.call('SET', P .. 'seen', string.format('%.0f', math.max(seen, now)))
end
numbers[6] = #due / 2
return numbers
