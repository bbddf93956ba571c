#!lua flags=allow-oom
-- Writes down what a person answered to a reminder that still stands.
-- ARGV: member, version, confirmed | cancel_requested
-- Returns 1 where it was written down.
local key = reminder(ARGV[1])
if redis.call('HGET', key, 'version') ~= ARGV[2] then return 0 end
redis.call('HSET', key, 'reply', ARGV[3])
return 1
