#!lua flags=allow-oom
-- Takes the oldest note off the list and makes its changes to the opt-out list; once, whichever workers have read it.
-- ARGV: note, 1 to set it aside unread (0: it is done), then tag, on ("1" stop, "0" start) for each change
-- Returns 1 if this note was still the oldest.
if redis.call('LINDEX', P .. 'notes', 0) ~= ARGV[1] then return 0 end
redis.call('LPOP', P .. 'notes')
redis.call('INCR', P .. 'notes.done')
if ARGV[2] == '1' then redis.call('RPUSH', P .. 'notes.unread', ARGV[1]) end
for i = 3, #ARGV, 2 do redis.call('XADD', P .. 'stops', '*', 'tag', ARGV[i], 'on', ARGV[i + 1]) end
return 1
