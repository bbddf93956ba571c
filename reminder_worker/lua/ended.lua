#!lua flags=allow-oom
-- Finds which reminders have ended, of those that may wait for a provider.
-- ARGV: reminders
-- Returns those that have ended.

local ended = {}
for _, member in ipairs(ARGV) do
  if redis.call('HEXISTS', reminder(member), 'ended') == 1 then ended[#ended + 1] = member end
end
return ended
