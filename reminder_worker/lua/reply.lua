#!lua flags=allow-oom
-- Records what a person answered to a reminder that may have reached them, unless they have answered again since.
-- ARGV: member, version, confirmed | cancel_requested, number of the note
-- Returns 1 if that is the reminder that was answered.
local key = reminder(ARGV[1])
local version, state, before, reply = unpack(redis.call('HMGET', key, 'version', 'state', 'replied', 'reply'))
if version ~= ARGV[2] or not AWAITS[state] then return 0 end
if not before or tonumber(before) <= tonumber(ARGV[4]) then
  redis.call('HSET', key, 'reply', ARGV[3], 'replied', ARGV[4], 'answered', now)
  if reply ~= ARGV[3] then
    local _, _, _, _, ticket = head_of(string.sub(ARGV[1], 1, 16))
    announce(ARGV[1], version, ticket or 0, ARGV[3], '')
  end
end
return 1
