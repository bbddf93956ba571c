#!lua
-- Adds appointments, or moves them. No allow-oom: a full store refuses before anything is written.
-- ARGV: keep_ms, then per appointment: id, tag, envelope, leads, due ms of each lead
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

while i <= #ARGV do
  local id, tag, envelope, leads = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
  local version, old_leads, _, old_tag = head_of(id)
  local answer
  if version and old_tag == tag and not worth_again(id, old_leads) then
    answer = 'unchanged'
  elseif version and any(id, old_leads, 'sending') then
    answer = 'in_flight'
  else
    answer = version and 'moved' or 'added'
    for lead = 0, (old_leads or 0) - 1 do
      unlist(id .. string.char(lead))
      redis.call('DEL', reminder(id .. string.char(lead)))
    end
    version = (version or 0) % 65535 + 1
    redis.call('SET', appointment(id), struct.pack(HEAD, version, leads, 2 ^ leads - 1, tag) .. envelope)
    for lead = 0, leads - 1 do
      redis.call('ZADD', DUE, ARGV[i + 4 + lead], id .. string.char(lead))
    end
  end
  answers[#answers + 1] = answer
  answers[#answers + 1] = version
  i = i + 4 + leads
end
return answers
