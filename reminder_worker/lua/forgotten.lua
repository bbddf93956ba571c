#!lua flags=allow-oom
-- Takes a text off the list of those that a provider should remove.
-- ARGV: what forget.lua returned
return redis.call('ZREM', FORGET, ARGV[1])
