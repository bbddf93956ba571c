#!lua flags=allow-oom
-- Leaves a note for a worker, unless the same reply has come before. A store that is full still hears who said STOP.
-- ARGV: note, what stands for the reply ('' where nothing does), seconds for which that is remembered
-- Returns 1 where it was left.
if ARGV[2] ~= '' and not redis.call('SET', P .. 't:' .. ARGV[2], '', 'NX', 'EX', ARGV[3]) then return 0 end
redis.call('RPUSH', P .. 'notes', ARGV[1])
return 1
