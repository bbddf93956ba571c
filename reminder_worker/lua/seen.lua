#!lua flags=allow-oom
-- Notes that a worker is here, unless this store was put back from a backup: then it is older than the worker remembers.
-- ARGV: when the worker was last here, ms (0: never, or it does not know)
-- Returns what to remember, ms; -1 if the store was put back.
if was_put_back(ARGV[1]) then return -1 end
local seen = math.max(tonumber(redis.call('GET', P .. 'seen') or 0), now)  -- even if the server's clock was set back
redis.call('SET', P .. 'seen', string.format('%.0f', seen))
return seen
