#!lua
-- Adds appointments, or moves them. No allow-oom: a full store refuses before anything is written.
-- ARGV: keep_ms, then per appointment: id, tag, ticket (or ''), envelope, leads, due ms of each lead
-- Returns per appointment: what happened, version.

local keep_ms, i, answers = ARGV[1], 2, {}

local OUT = {sent = true, delivered = true, undelivered = true, unknown = true}

local function state_of(id, lead) return redis.call('HGET', reminder(id .. string.char(lead)), 'state') end

local function any(id, leads, state)
  for lead = 0, leads - 1 do
    if state_of(id, lead) == state then return true end
  end
end

-- A rejected one is worth handing in again: it is sealed anew, to keys that open it perhaps. Not where the last
-- text is out: it is the one that would go out at once, and so twice.
local function worth_again(id, leads) return any(id, leads, 'rejected') and not OUT[state_of(id, leads - 1)] end

-- Only the pointer was sealed anew, and the last text is out: it is the one that would go out at once, and so twice.
local function reminded(id, leads) return OUT[state_of(id, leads - 1)] end

-- The first of those that are planned is out, and more are to come: it fell due since this was planned. (What is left
-- to plan is the end of what was.) Planned again in a moment, it is left out, and the rest gets the new pointer.
local function just_out(id, old_leads, leads) return leads <= old_leads and OUT[state_of(id, old_leads - leads)] end

local function put(id, version, leads, left, tag, ticket, envelope, ...)
  redis.call('SET', appointment(id), struct.pack(HEAD, version, leads, left, tag, #ticket) .. ticket .. envelope, ...)
end

while i <= #ARGV do
  local id, tag, ticket, envelope, leads = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], tonumber(ARGV[i + 4])
  local version, old_leads, left, old_tag, old_ticket = head_of(id)
  local answer
  local but_for_the_pointer = version and string.sub(old_tag, 9) == string.sub(tag, 9)
  local again = version and old_tag == tag and not worth_again(id, old_leads)
  if again or (but_for_the_pointer and reminded(id, old_leads)) then
    answer = 'unchanged'
    if old_ticket == 0 and ticket ~= '' then  -- who wants to be told from now on hands in everything again
      local sealed = redis.call('GETRANGE', appointment(id), HEAD_BYTES, -1)
      put(id, version, old_leads, left, old_tag, ticket, sealed, 'KEEPTTL')
    end
  elseif version and (any(id, old_leads, 'sending') or (but_for_the_pointer and just_out(id, old_leads, leads))) then
    answer = 'in_flight'
  else
    answer = version and 'moved' or 'added'
    for lead = 0, (old_leads or 0) - 1 do
      unlist(id .. string.char(lead))
      redis.call('DEL', reminder(id .. string.char(lead)))
    end
    version = (version or 0) % 65535 + 1
    if ticket == '' then ticket = ticket_of(id, old_ticket or 0) end  -- events of before still need it
    put(id, version, leads, 2 ^ leads - 1, tag, ticket, envelope)
    for lead = 0, leads - 1 do
      redis.call('ZADD', DUE, ARGV[i + 5 + lead], id .. string.char(lead))
    end
  end
  answers[#answers + 1] = answer
  answers[#answers + 1] = version
  i = i + 5 + leads
end
return answers
