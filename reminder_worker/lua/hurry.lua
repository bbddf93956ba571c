#!lua flags=allow-oom
-- Has reminders that wait in the schedule taken sooner: the provider that they wait for has called them.
-- ARGV: provider, then each reminder, and in how many ms it is to be taken
-- Returns those that no longer wait.

local gone = {}
for i = 2, #ARGV, 2 do
  local member = ARGV[i]
  local waits = redis.call('ZREM', DUE, member) + redis.call('ZREM', TURNS, member) > 0
  if waits then redis.call('ZADD', TURNS, now + ARGV[i + 1], member) end
  if waits or redis.call('HGET', reminder(member), 'state') == 'queued' then  -- it was on its way by itself
    redis.call('HSET', reminder(member), 'called', ARGV[1])
  else gone[#gone + 1] = member end
end
return gone
