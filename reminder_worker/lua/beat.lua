#!lua flags=allow-oom
-- Notes that a process is alive, and forgets those silent for an hour.
-- ARGV: process
redis.call('ZADD', P .. 'processes', now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', P .. 'processes', '-inf', now - 3600000)
return now
