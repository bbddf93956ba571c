#!lua flags=allow-oom
-- Records that a provider is about to be called, before it is called.
-- It does not learn until when the text is of use: the appointment's time would follow from that, and arguments show
-- up in MONITOR and SLOWLOG. The worker checks that itself, by the time that its claim returned.
-- ARGV: member, token, provider, ref, lease ms, which set of templates is in force
-- Returns ok | lost (cancelled, moved or taken over in the meantime).

local member, token, provider, ref = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local key = reminder(member)
local state, holder, its_ref, its_provider = unpack(redis.call('HMGET', key, 'state', 'token', 'ref', 'provider'))

if its_ref == ref then  -- called twice; an attempt that was closed in between is not opened again
  if state ~= 'sending' then return 'lost' end
  redis.call('HSET', key, 'state', state)  -- WAITAOF waits for this connection's writes, and it may be a new one
  return 'ok'
end
if state ~= 'claimed' or holder ~= token then return 'lost' end
if its_ref then
  if redis.call('HEXISTS', key, '@' .. ref) == 1 then return 'lost' end
  redis.call('HSET', key, '@' .. its_ref, its_provider)
end
redis.call('HSET', key, 'state', 'sending', 'provider', provider, 'ref', ref, 'asked', now, 'template', ARGV[6])
redis.call('HINCRBY', key, 'attempts', 1)
redis.call('ZREM', LIVE, member)
redis.call('ZADD', OPEN, now + ARGV[5], member)
return 'ok'
