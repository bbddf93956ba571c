#!lua
-- Leaves new events that report what became of reminders and what people answered, as it stands now.
-- ARGV: when this was asked for, ms; from when on, ms; then members
-- Returns the number of events.

local asked_for, from, events = ARGV[1], tonumber(ARGV[2]), 0
for i = 3, #ARGV do
  local member = ARGV[i]
  local row = redis.call('HMGET', reminder(member), 'version', 'state', 'reason', 'ended', 'reply', 'answered')
  local version, state, reason, ended, reply, answered = unpack(row)
  local its_version, _, _, _, ticket = head_of(string.sub(member, 1, 16))
  if (ticket or 0) > 0 then
    local function again(what, why, at)
      if at and tonumber(at) >= from then
        announce(member, version or its_version, ticket, what, why, at, asked_for)
        events = events + 1
      end
    end
    again(state, reason, ended)
    again(reply, '', answered)
  end
end
return events
