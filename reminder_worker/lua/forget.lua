#!lua flags=allow-oom
-- Takes texts whose number and words their provider should remove now; those not reported as done come again later.
-- ARGV: at most, lease ms, give up after days
-- Returns "day|provider|its name for the text" for each.
local taken = redis.call('ZRANGE', FORGET, '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])
for i = #taken, 1, -1 do
  local day = tonumber(string.match(taken[i], '^%d+'))
  if day + 1 + ARGV[3] < now / DAY_MS then
    redis.call('ZREM', FORGET, taken[i])
    table.remove(taken, i)
  else
    redis.call('ZADD', FORGET, now + ARGV[2], taken[i])
  end
end
return taken
