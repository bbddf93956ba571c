#!lua flags=allow-oom
-- Leaves a note for a worker, unless the same reply has come before. A full store still takes a STOP.
-- ARGV: note, the reply's mark ('' if it has none), seconds for which that is remembered
-- Returns 1 if it was left.
if ARGV[2] ~= '' and not redis.call('SET', P .. 't:' .. ARGV[2], '', 'NX', 'EX', ARGV[3]) then return 0 end
redis.call('RPUSH', P .. 'notes', ARGV[1])
return 1
