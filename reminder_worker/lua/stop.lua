#!lua flags=allow-oom
-- Appends to the opt-out list: a full store still takes a STOP. If run twice, it leaves two entries, which does no harm.
-- Runs on shard 0.
-- ARGV: tag, on (1 stop, 0 start), then the name and value of another field, if there is one
redis.call('XADD', P .. 'stops', '*', 'tag', ARGV[1], 'on', ARGV[2], unpack(ARGV, 3))
