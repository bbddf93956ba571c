#!lua flags=allow-oom
-- Notes how far a machine's ratchet has got; returns the week that the machine had reached before, and the furthest of
-- all (-1: not known). A week in the future of Redis's clock, or over a year old, is not believed, and is removed.
-- ARGV: machine, week; without a week nothing is noted
local this_week = math.floor((now / 1000 - 345600) / 604800)
local reached, mine, furthest = tonumber(ARGV[2] or -1), -1, -1
local known = redis.call('HGETALL', P .. 'epochs')
for at = 1, #known, 2 do
  local week = tonumber(known[at + 1]) or -1
  if week <= this_week and week >= this_week - 60 then
    furthest = math.max(furthest, week)
    if known[at] == ARGV[1] then mine = week end
  elseif reached >= 0 then
    redis.call('HDEL', P .. 'epochs', known[at])
  end
end
if reached > mine and reached <= this_week then redis.call('HSET', P .. 'epochs', ARGV[1], reached) end
return {mine, furthest}
