#!lua flags=allow-oom
-- Gives a queued reminder to one worker; duplicate, late and stale wake-ups stop here.
-- ARGV: member, version, token, lease ms, when this worker was last here, ms (0: never)
-- Returns {'claimed', now, tries, envelope, until when a reminder handed in again may have been sent already, ms (0:
--     never), 1 if it comes for its turn at a provider, the provider that called it (or '')}
--   | {'look', now, provider, ref, asked ms, envelope} | {'no'}
--   | {'back'}: the store was put back from a backup, and what may have been sent since is not held yet.

local member, version, token, lease = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local key, id = reminder(member), string.sub(member, 1, 16)
local state, its_version, holder, tries, looks, reason, act, called =
  unpack(redis.call('HMGET', key, 'state', 'version', 'token', 'tries', 'looks', 'reason', 'act', 'called'))

local function envelope()
  local whole = redis.call('GET', appointment(id))
  if not whole or #whole < HEAD_BYTES then return '' end
  local _, _, _, _, ticket = struct.unpack(HEAD, whole)
  return string.sub(whole, HEAD_BYTES + ticket + 1)
end

if was_put_back(ARGV[5]) then return {'back'} end
if its_version ~= version then return {'no'} end
if state == 'sending' and looks then
  local provider, ref, asked = unpack(redis.call('HMGET', key, 'provider', 'ref', 'asked'))
  return {'look', now, provider, ref, tonumber(asked), envelope()}
end
if state == 'queued' then
  redis.call('HSET', key, 'state', 'claimed', 'token', token)
  redis.call('HINCRBY', key, 'claims', 1)
  redis.call('ZADD', LIVE, now + lease, member)
elseif state ~= 'claimed' or holder ~= token then
  return {'no'}
end
-- A reminder that already waited here when the store was put back, or is sent because a person said so, is not one that
-- was handed in again and may be out.
local is_known = act or (reason and reason ~= '')
local sent_until = is_known and 0 or tonumber(redis.call('GET', P .. 'restored') or 0)
local comes_back = reason == 'rate_limited' and 1 or 0
return {'claimed', now, tonumber(tries or 0), envelope(), sent_until, comes_back, called or ''}
