#!lua flags=allow-oom
-- Records what became of a claim or of an attempt.
-- "sent" is monotone: it is accepted from any worker that holds the attempt's reference, however late.
-- Everything else is accepted only from the claim's holder or for the attempt that is open.
-- ARGV: member, token, ref, outcome, reason, class, provider_message_id, delay ms, keep_ms,
--   forget ms (-1: there is nothing to forget)
--   outcome: sent and the other final states | closed (surely not sent: the claim goes on)
--            | retry (back to the schedule, one try more) | hold (back to the schedule, not a try; rate_limited: for its
--            turn at a provider)
-- Returns 1 if it was recorded (now or before), 0 if it came too late to count, or is a retry or hold said twice; 2 if
-- the person was texted twice; 3 if a proof was already known. The reference stays when an attempt is closed: a "sent"
-- may still follow, and must not be lost.

local member, token, ref, outcome, reason, class = unpack(ARGV, 1, 6)
local message_id, delay, keep_ms, forget_ms = unpack(ARGV, 7, 10)
local key = reminder(member)
local state, holder, its_ref = unpack(redis.call('HMGET', key, 'state', 'token', 'ref'))

if outcome == 'sent' then
  return prove(member, ref, '', 'sent', reason, class, message_id, forget_ms, keep_ms)
end

local open = state == 'sending' and ref ~= '' and its_ref == ref
local held = state == 'claimed' and token ~= '' and holder == token
if not open and not held then return state == outcome and 1 or 0 end

if outcome == 'closed' then
  redis.call('HSET', key, 'state', 'claimed', 'reason', reason)
  redis.call('HDEL', key, 'looks')
  redis.call('ZREM', OPEN, member)
  redis.call('ZADD', LIVE, now + delay, member)
elseif outcome == 'retry' or outcome == 'hold' then
  unlist(member)
  redis.call('HSET', key, 'state', 'scheduled', 'reason', reason)
  redis.call('HDEL', key, 'token', 'looks', 'claims', 'wakes', 'called')
  if outcome == 'retry' then redis.call('HINCRBY', key, 'tries', 1) end
  if outcome == 'hold' and reason == 'rate_limited' then redis.call('ZADD', TURNS, now + delay, member)
  else redis.call('ZADD', DUE, now + delay, member) end
elseif reason == 'restored' then
  hold(member, keep_ms)
else
  finish(member, outcome, reason, class, keep_ms)
end
return 1
