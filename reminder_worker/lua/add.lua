#!lua
-- Adds appointments, or moves them. No allow-oom: a full store refuses before anything is written.
-- ARGV: per appointment: id, tag, ticket (or ''), envelope, leads, dues
--   dues: due ms of each lead (-1: it has passed) in 13 digits, always for 8 leads, so that all are equally long
-- Returns per appointment: what happened, version.

local i, answers, DIGITS = 1, {}, 13

local OUT = {sent = true, delivered = true, undelivered = true, unknown = true}

local function state_of(id, lead) return redis.call('HGET', reminder(id .. string.char(lead)), 'state') end

local function any(id, leads, is)
  for lead = 0, leads - 1 do
    if is(unpack(redis.call('HMGET', reminder(id .. string.char(lead)), 'state', 'reason'))) then return true end
  end
end

local function is_sending(state) return state == 'sending' end

-- Worth handing in again unchanged: what did not open is sealed anew, perhaps to keys that open it; and a platform may
-- have said by mistake that a contact is gone.
local function is_worth_it(state, reason) return state == 'rejected' or (state == 'cancelled' and reason == 'contact_gone') end

local function put(id, version, leads, left, tag, ticket, envelope, ...)
  redis.call('SET', appointment(id), struct.pack(HEAD, version, leads, left, tag, #ticket) .. ticket .. envelope, ...)
end

while i <= #ARGV do
  local id, tag, ticket, envelope, leads, dues = unpack(ARGV, i, i + 5)
  leads = tonumber(leads)
  local version, old_leads, left, old_tag, old_ticket = head_of(id)
  local same_times = version and string.sub(old_tag, 9) == string.sub(tag, 9) and old_leads == leads

  -- When each lead goes out. If only the pointer is different, a text that is out is not sent again, and one that waits
  -- still goes out, even if it has fallen due since this was planned.
  local due, planned = {}, 0
  for lead = 0, leads - 1 do
    local at = tonumber(string.sub(dues, lead * DIGITS + 1, lead * DIGITS + DIGITS))
    if same_times and at < 0 and has(left, 2 ^ lead) then at = now end
    if at >= 0 and not (same_times and OUT[state_of(id, lead)]) then
      due[lead], planned = at, planned + 2 ^ lead
    end
  end

  local answer
  if planned == 0 or (version and old_tag == tag and not any(id, old_leads, is_worth_it)) then
    answer = 'unchanged'
    if old_ticket == 0 and ticket ~= '' then  -- a platform that wants events from now on hands in everything again
      local sealed = redis.call('GETRANGE', appointment(id), HEAD_BYTES, -1)
      put(id, version, old_leads, left, old_tag, ticket, sealed, 'KEEPTTL')
    end
  elseif version and any(id, old_leads, is_sending) then
    answer = 'in_flight'
  else
    answer = version and 'moved' or 'added'
    for lead = 0, (old_leads or 0) - 1 do
      if due[lead] or not same_times then
        unlist(id .. string.char(lead))
        redis.call('DEL', reminder(id .. string.char(lead)))
      end
    end
    version = (version or 0) % 65535 + 1
    if ticket == '' then ticket = ticket_of(id, old_ticket or 0) end  -- earlier events still need it
    put(id, version, leads, planned, tag, ticket, envelope)
    for lead, at in pairs(due) do
      redis.call('ZADD', DUE, at, id .. string.char(lead))
    end
  end
  answers[#answers + 1] = answer
  answers[#answers + 1] = version or 0
  i = i + 6
end
return answers
