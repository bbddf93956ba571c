#!lua flags=no-writes
-- Returns the oldest note and its number in the order in which notes came; nothing if there is none.
local note = redis.call('LINDEX', P .. 'notes', 0)
if note then return {note, tonumber(redis.call('GET', P .. 'notes.done') or 0)} end
