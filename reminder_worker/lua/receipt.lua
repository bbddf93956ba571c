#!lua flags=allow-oom
-- Writes down what a provider reports of an attempt: it is with the provider, or it arrived, or it did not.
-- ARGV: member, ref, provider, sent | delivered | undelivered, reason, class, provider_message_id, forget ms, keep_ms
-- Returns 1 where it counts, 0 where there is no such attempt, 2 where the person was texted twice, 3 where it was known.
local member, ref, by, state, reason, class, message_id = unpack(ARGV, 1, 7)

-- Since the store was put back it does not know the attempts that were made meanwhile. A provider's word on one of them
-- tells that this reminder was sent: the reference was made for it and for nothing else.
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
