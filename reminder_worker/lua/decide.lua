#!lua flags=allow-oom
-- Carries out a person's decision about a dead letter or an unknown reminder, and records who it was, in one step.
-- ARGV: member, since when it waits, ms; act (random: a repeated call is the same act); decision; keep_ms;
--   and for the record: name of the reminder, who, for whom
--   decision: retry (back to the schedule) | resend (the same, although it may have been accepted)
--             | drop (failed) | sent, failed (what a person found out)
-- Returns done | settled (it no longer waits, or waits anew since then) | gone (there is no envelope)
--   | in_doubt (it may have been accepted: resend, or say what became of it) | certain (it was surely not accepted).

local member, since, act, decision, keep_ms = unpack(ARGV, 1, 5)
local key, id = reminder(member), string.sub(member, 1, 16)
local state, ended, provider, last_act = unpack(redis.call('HMGET', key, 'state', 'ended', 'provider', 'act'))
if last_act == act then return 'done' end

local dead, unknown = redis.call('ZSCORE', DEAD, member), redis.call('ZSCORE', UNKNOWN, member)
if not state or tonumber(dead or unknown or 0) ~= tonumber(since) then return 'settled' end
if unknown and decision == 'retry' then return 'in_doubt' end
if dead and (decision == 'sent' or decision == 'failed') then return 'certain' end

if decision == 'retry' or decision == 'resend' then
  local version, leads, left, tag, ticket = head_of(id)
  if not version or left == 0 then return 'gone' end
  if ended then  -- it had ended, and now has not
    count(ended, state, provider or '', -1)
    redis.call('PERSIST', key)
    if not has(left, bit_of(member)) then
      write_head(id, version, leads, left + bit_of(member), tag, ticket, keep_ms)
    end
  end
  unlist(member)
  redis.call('HSET', key, 'state', 'scheduled', 'reason', '')
  redis.call('HDEL', key, 'token', 'wakes', 'claims', 'looks', 'ended', 'class')
  redis.call('ZADD', DUE, now, member)
elseif decision == 'drop' then
  finish(member, 'failed', 'dropped', 'technical', keep_ms)
else
  finish(member, decision, 'resolved', decision == 'failed' and 'technical' or '', keep_ms)
end
redis.call('HSET', key, 'act', act)
local was = unknown and 'unknown' or 'dead_letter'
redis.call('RPUSH', ACTS, table.concat({now, decision, was, ARGV[6], ARGV[7], ARGV[8]}, '|'))
return 'done'
