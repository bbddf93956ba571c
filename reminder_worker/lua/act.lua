#!lua flags=allow-oom
-- Records an operator's act that changed nothing here. Runs on shard 0.
-- ARGV: what, how it ended, who, for whom. If called twice, it leaves two lines, which does no harm.
redis.call('RPUSH', ACTS, table.concat({now, ARGV[1], ARGV[2], '', ARGV[3], ARGV[4]}, '|'))
