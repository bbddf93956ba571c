#!lua flags=allow-oom
-- Appends to the opt-out list: a store that is full still learns who said STOP. Said twice it stands there twice, and
-- that is no harm. Runs on shard 0.
-- ARGV: tag, on (1 stop, 0 start), then the name and value of another field, where there is one
redis.call('XADD', P .. 'stops', '*', 'tag', ARGV[1], 'on', ARGV[2], unpack(ARGV, 3))
