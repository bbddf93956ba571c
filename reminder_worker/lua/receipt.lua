#!lua flags=allow-oom
-- Records what a provider reports about an attempt: it is with the provider, or it arrived, or it did not.
-- ARGV: member, ref, provider, sent | delivered | undelivered, reason, class, provider_message_id, forget ms, keep_ms
-- Returns 1 if it counts, 0 if there is no such attempt, 2 if the person was texted twice, 3 if it was already known.
local member, ref, by, state, reason, class, message_id = unpack(ARGV, 1, 7)

-- A store that was put back does not know the attempts made since the backup. A provider's report on one of them shows
-- that this reminder was sent: the reference was made for it and for nothing else.
local key = reminder(member)
local old, why, last, provider, asked, ended =
  unpack(redis.call('HMGET', key, 'state', 'reason', 'ref', 'provider', 'asked', 'ended'))
local is_held = old == 'unknown' and why == 'restored'
if is_held and ref ~= '' and by ~= '' and last ~= ref and not redis.call('HGET', key, '@' .. ref) then
  if last then redis.call('HSET', key, '@' .. last, provider) end
  redis.call('HSET', key, 'ref', ref, 'provider', by, 'asked', asked or now)
  count(ended, old, provider or '', -1)
  count(ended, old, by, 1)
end
return prove(member, ref, by, state, reason, class, message_id, ARGV[8], ARGV[9])
