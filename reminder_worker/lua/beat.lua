#!lua flags=allow-oom
-- Notes that a process is alive, or ends properly, and forgets those silent for an hour and those that ended.
-- ARGV: process, 'ended' if it ends
redis.call('ZADD', P .. 'processes', ARGV[2] == 'ended' and 0 or now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', P .. 'processes', '-inf', now - 3600000)
return now
