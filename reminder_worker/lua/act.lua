#!lua flags=allow-oom
-- Leaves a line of what an operator did that changed nothing here. Runs on shard 0.
-- ARGV: what, how it ended, who, for whom. Said twice it stands there twice: that is no harm.
redis.call('RPUSH', ACTS, table.concat({now, ARGV[1], ARGV[2], '', ARGV[3], ARGV[4]}, '|'))
