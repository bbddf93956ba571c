#!lua flags=allow-oom
-- Cancels what is left of an appointment, all or nothing. The platform asked for it, so no event reports it.
-- ARGV: keep_ms, id
-- Returns cancelled | in_flight | ended (nothing was left) | missing.

local keep_ms, id = ARGV[1], ARGV[2]
local version, leads, left, tag, ticket = head_of(id)
if not version then return 'missing' end
if tag == NO_TAG then return 'cancelled' end

local function state_of(lead) return redis.call('HGET', reminder(id .. string.char(lead)), 'state') end

for lead = 0, leads - 1 do
  if state_of(lead) == 'sending' then return 'in_flight' end
end
if left == 0 then return 'ended' end
for lead = 0, leads - 1 do
  if has(left, 2 ^ lead) and state_of(lead) ~= 'unknown' then  -- what may be out stays unknown, and loses its envelope
    finish(id .. string.char(lead), 'cancelled', 'cancelled', '', keep_ms)
  end
end
write_head(id, version, leads, 0, NO_TAG, ticket, keep_ms)  -- no tag: the same content may be added again
return 'cancelled'
