#!lua flags=allow-oom
-- Records what became of events that were taken. An event that another process has told in the meantime stays told.
-- ARGV: event, ms until it is tried again (-1: it was told, -2: it is given up), for each

for i = 1, #ARGV, 2 do
  local event, delay = ARGV[i], tonumber(ARGV[i + 1])
  if delay >= 0 then
    redis.call('ZADD', EVENTS, 'XX', now + delay, event)
  elseif redis.call('ZREM', EVENTS, event) == 1 and delay == -2 then
    redis.call('INCR', P .. 'events.dropped')
  end
end
