#!lua flags=allow-oom
-- Decides whether a provider may be called for one text now, and reserves the call if so. Runs on shard 0.
-- Nothing here names a person or a platform: tags are keyed, and change every day.
--
-- Keys, all of them short-lived except the first:
--   stops             STREAM  tag, on (1 stop, 0 start), said (when, if it was brought back late): the opt-out list
--   p:<phone tag>     SET     which reminders this phone was sent today, by tags
--   l:<phone tag>     LIST    the last ones, hidden from all but the worker: which one a yes or a no belongs to
--   h:<phone tag>     STRING  HELP was answered today
--   d:<platform tag>  STRING  how many texts this platform has sent today
--   c:<provider>      HASH    failed, misconfigured, doubted: in a row
--                             until: the circuit is open, ms · opened: times in a row
--                             probe, prober: until when a trial is under way, ms, and which call it is
--                             closed: since, ms · paused: told to wait until, ms
--                             pace: microseconds between calls, after it throttled us · toofast: the pace at which it
--                             throttled again · next: when the next call may be made, microseconds · crowd: how many
--                             wait for it · took: calls since it last throttled · vain: how much more often it
--                             throttled though called more slowly · useless: until when it is not slowed for that, ms
--                             (c:~<tag> is that of a platform's resolver, see circuit.lua)
--   q:<provider>      ZSET    reminder -> when it fell due, ms: the crowd, see next.lua
--   b:<provider>      ZSET    reminder -> until when it is expected, ms: those of the crowd that were called
--   g:<what>          STRING  when the next text of a provider or sender may go, microseconds
--   q:<what>|<gap>    STRING  the same for those that wait in the schedule: the end of the queue, a dot and when that was
--                             set, ms. If the rate is changed, another queue begins, and none waits for the end of the
--                             old one
--   q:~<what>|<gap>   STRING  the same for those of them that came for their turn, but too many at once
--   s:<provider>|<day> STRING spent that day, millionths · w:… the warning was given
--   x:<call>          STRING  it was reported: a report that is made twice counts once
--
-- ARGV: cursor in stops, provider, call, microseconds between texts (0: no limit), sender tag (or ''), the same for it,
--   cost in millionths, how much a day (-1: no limit), platform tag, how many a day (-1), phone tag, how many a day,
--   reminder tag, which reminder it is (hidden), new | turn (it comes for its turn) | called (out of the crowd; or it may
--   be out already), 1 if it is to be given a turn
-- Returns verdict, ms to wait, how many wait already, how many ms those take at its pace, day, 1 if success is to be
--   reported, 1 if spending passes 80 %, then new stops.

local cursor, provider, call = ARGV[1], ARGV[2], ARGV[3]
local gap, sender, sender_gap = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local cost, spend_cap = tonumber(ARGV[7]), tonumber(ARGV[8])
local platform, platform_cap, phone, phone_cap = ARGV[9], tonumber(ARGV[10]), ARGV[11], tonumber(ARGV[12])
local SOON, CALL_MS, WARN, MOST_STOPS, MOST_MARKS = 250000, 20000, 0.8, 500, 4
local now_us = time[1] * 1000000 + time[2]
local circuit, is_new, crowd, takes = P .. 'c:' .. provider, ARGV[15] == 'new', 0, 0
local today = math.floor(now / DAY_MS)
local rest_of_day = (today + 1) * DAY_MS - now

local stops = {}
for _, entry in ipairs(redis.call('XRANGE', P .. 'stops', '(' .. cursor, '+', 'COUNT', MOST_STOPS)) do
  stops[#stops + 1] = entry[1]
  stops[#stops + 1] = entry[2][2]
  stops[#stops + 1] = entry[2][4]
end
local function answer(verdict, wait, watch, warn)
  return {verdict, math.ceil(wait), crowd, math.ceil(takes), today, watch or 0, warn or 0, unpack(stops)}
end
local function whole(number) return string.format('%.0f', number) end

-- What the person and the platform may get in a day. A reminder counts once, however often it is tried.
local fresh = redis.call('SISMEMBER', P .. 'p:' .. phone, ARGV[13]) == 0
if fresh and redis.call('SCARD', P .. 'p:' .. phone) >= phone_cap then return answer('phone_capped', 0) end
local sent_today = tonumber(redis.call('GET', P .. 'd:' .. platform) or 0)
if fresh and platform_cap >= 0 and sent_today >= platform_cap then
  return answer('platform_capped', rest_of_day)
end

-- How the provider has been doing.
local is_open, probe, prober, paused, pace, next_call, waiting =
  unpack(redis.call('HMGET', circuit, 'until', 'probe', 'prober', 'paused', 'pace', 'next', 'crowd'))
local open_until = to_come(is_open, 1, 0)
probe, paused = to_come(probe, 1, 0), to_come(paused, 1, 0)
crowd, next_call = tonumber(waiting or 0), math.max(to_come(next_call, 1000, 0), now_us)
takes = crowd * (pace or 0) / 1000
if now < open_until then return answer('circuit_open', open_until - now) end
if is_open and now < probe and prober ~= call then return answer('circuit_open', probe - now) end
if now < paused then return answer('throttled', paused - now) end
if (crowd > 0 and is_new) or next_call - now_us > SOON then
  return answer('throttled', (next_call - now_us) / 1000)
end

-- What it may cost.
local account = provider .. '|' .. today
local spent = tonumber(redis.call('GET', P .. 's:' .. account) or 0)
if spend_cap >= 0 and spent + cost > spend_cap then return answer('spend_capped', rest_of_day) end

-- How fast it, and the sender, may be used. A turn that comes soon is reserved, and the worker waits for it; the others
-- are told a time; those that are to be given it come back then, one after the other. No new text overtakes them.
local function end_of(queued)
  local last, set = string.match(queued or '', '^(%d+)%.?(%d*)$')
  return last and (set == '' or to_come(set, 1, 0) > 0) and tonumber(last) or 0
end
local limits, at, slowest, others_wait = {}, now_us, nil, false
if gap > 0 then limits[1] = {provider, gap} end
if sender_gap > 0 then limits[#limits + 1] = {'=' .. sender, sender_gap} end
for _, limit in ipairs(limits) do
  local turn = to_come(redis.call('GET', P .. 'g:' .. limit[1]), 1000, limit[2])
  local last = is_new and end_of(redis.call('GET', P .. 'q:' .. limit[1] .. '|' .. limit[2])) or 0
  if last > now_us then turn, others_wait = math.max(turn, last), true end
  if turn > at then at, slowest = turn, limit end
end
if others_wait or at - now_us > SOON then
  local queue = P .. 'q:' .. (is_new and '' or '~') .. slowest[1] .. '|' .. slowest[2]
  local next_turn = math.max(end_of(redis.call('GET', queue)), at) + slowest[2]
  if ARGV[16] == '1' then
    redis.call('SET', queue, whole(next_turn) .. '.' .. whole(now), 'PX', math.ceil((next_turn - now_us) / 1000) + 1000)
  end
  return answer('rate_limited', (next_turn - now_us) / 1000)
end
if pace then
  at = math.max(at, next_call)
  redis.call('HSET', circuit, 'next', whole(at + pace))
end
for _, limit in ipairs(limits) do
  local after = at + limit[2]
  redis.call('SET', P .. 'g:' .. limit[1], whole(after), 'PX', math.ceil((after - now_us) / 1000) + 1000)
end

if is_open then redis.call('HSET', circuit, 'probe', now + CALL_MS, 'prober', call) end
local warn = 0
if cost > 0 then
  redis.call('INCRBY', P .. 's:' .. account, cost)
  redis.call('PEXPIRE', P .. 's:' .. account, rest_of_day)
  if spend_cap >= 0 and spent + cost >= WARN * spend_cap then
    warn = redis.call('SET', P .. 'w:' .. account, 1, 'NX', 'PX', rest_of_day) and 1 or 0
  end
end
if fresh then
  redis.call('SADD', P .. 'p:' .. phone, ARGV[13])
  redis.call('PEXPIRE', P .. 'p:' .. phone, rest_of_day)
  redis.call('SET', P .. 'd:' .. platform, sent_today + 1, 'PX', rest_of_day)
end
redis.call('LPUSH', P .. 'l:' .. phone, ARGV[14])
redis.call('LTRIM', P .. 'l:' .. phone, 0, MOST_MARKS - 1)
redis.call('PEXPIRE', P .. 'l:' .. phone, 8 * DAY_MS)
return answer('ok', (at - now_us) / 1000, redis.call('EXISTS', circuit), warn)
