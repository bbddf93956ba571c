#!lua flags=allow-oom
-- Notes that a process is alive, or ends in order, and forgets those silent for an hour and those that ended.
-- ARGV: process, 'ended' where it does
redis.call('ZADD', P .. 'processes', ARGV[2] == 'ended' and 0 or now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', P .. 'processes', '-inf', now - 3600000)
return now
