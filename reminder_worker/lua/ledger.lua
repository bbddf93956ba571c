-- Shared by all scripts; put in front of each of them. KEYS[1] is the shard's prefix, such as rw:{0}:
--
-- Keys of a shard (a <member> is 16 bytes of id and 1 byte that counts the appointment's leads from 0):
--   due        ZSET    member -> when it falls due, ms              state scheduled
--   turns      ZSET    member -> when a provider may take it, ms     state scheduled, and was due before
--   live       ZSET    member -> end of the lease, ms               states queued, claimed
--   open       ZSET    member -> next look at an open attempt, ms   state sending
--   dead       ZSET    member -> since when, ms                     waits for a person's decision
--   unknown    ZSET    member -> since when, ms                     nobody could find out what became of it
--   forget     ZSET    "day|provider|its name for a text" -> when to have it removed there, ms
--   a:<id>     STRING  the appointment: head, ticket, then the envelope while any reminder is not final
--   r:<member> HASH    the reminder, once it has been taken or has ended
--   n:<day>    HASH    "state|provider" -> how many ended in this way on that day
--   n:t<ten>   HASH    the same for ten minutes; kept for a day
--   m:<name>   STRING  an attempt's reference, by a hash of its provider's own name for the text
--   e:<name>   LIST    receipts that came before that name was known
--   processes  ZSET    process -> last heartbeat, ms
--   events     ZSET    member, then "version|when, ms|what|reason|since, ms" -> when to tell the platform next, ms
--   events.dropped  STRING  how many were given up, or not wanted
--   muted      SET     platforms not to tell, by the gateway's tags; shard 0 only
--   epochs     HASH    a copy of the ratchet, by a random name -> the week that it has got to; shard 0 only
--   acts       LIST    what operators did: "when, ms|what|to what, or how it ended|reminder's name|who|for whom"
--   find       STRING  an operator has just asked what became of a number's reminders; shard 0 only
--   notes      LIST    what people answered, sealed to the worker, oldest first; shard 0 only
--   notes.done    STRING  how many were taken off; shard 0 only
--   notes.unread  LIST    those that did not open; shard 0 only
--   t:<reply>     STRING  this reply was heard, by a hash of its provider's own name for it; for two days; shard 0 only
--   held       ZSET    member -> when its envelope goes, ms         state unknown, since the store was put back
--   restored   STRING  when the store was put back from a backup, ms: what was due until then may have been sent
--   shards     STRING  how many there are (agreement.py); shard 0 only
--   seen       STRING  when a worker was last here, ms: a store that was put back has forgotten it
-- The keys of limits, circuits and the opt-out list, all on shard 0, are listed in admit.lua and rate.lua.
--
-- head = version (2 bytes), leads (1), one bit per lead that is not final (1), content tags (8 and 4), ticket's length (2)
-- ticket = whose appointment it is, sealed to the gateway; empty if nobody wants events about it
--
--                      .---------------- retry, hold ------------------.
--                      v                                               |
--   add --> scheduled --take--> queued --claim--> claimed --intend--> sending --settle--> sent, failed, ...
--                      ^          ^  ^               |  ^               |  |
--                      |          |  '----sweep------'  '----closed-----'  '--look--> sent | retry | unknown
--                      '---- retry, hold, from claimed too;  cancel and a move end all but sending
--
-- What waits for a person (dead, unknown) goes back to scheduled, or ends, when decide says so. If the store was put
-- back from a backup, quarantine makes all that may have been sent since unknown: the envelopes of these stay.
--
-- From any state a proof that a provider accepted an attempt leads to sent, and from there to delivered or
-- undelivered, whichever comes first. A reminder's last attempt is in "ref" and "provider", each earlier one in a
-- field "@<ref>" -> provider: late proofs count too.
--
-- Every script reads Redis's clock only, and may run twice with the same arguments.

local P = KEYS[1]
local DUE, TURNS, LIVE, OPEN = P .. 'due', P .. 'turns', P .. 'live', P .. 'open'
local DEAD, UNKNOWN = P .. 'dead', P .. 'unknown'
local FORGET, EVENTS, ACTS, HELD = P .. 'forget', P .. 'events', P .. 'acts', P .. 'held'
local HEAD, HEAD_BYTES, NO_TAG, DAY_MS, TEN_MS = '>HBBc12H', 18, string.rep('\0', 12), 86400000, 600000

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function appointment(id) return P .. 'a:' .. id end
local function reminder(member) return P .. 'r:' .. member end
local function counts_of(period) return P .. 'n:' .. period end
local function bit_of(member) return 2 ^ string.byte(member, 17) end
local function has(mask, flag) return math.floor(mask / flag) % 2 == 1 end

-- Reads a time that something waits for, in ms (``scale`` 1) or microseconds (1000). Returns 0 if it is ten minutes
-- further ahead than such a time is ever set (``most``): it was set by a clock that has since been put back.
local function to_come(at, scale, most)
  at = tonumber(at or 0)
  return at <= (now + TEN_MS) * scale + most and at or 0
end

-- Returns version, leads, left, tag, length of the ticket; nothing if there is no such appointment.
local function head_of(id)
  local packed = redis.call('GETRANGE', appointment(id), 0, HEAD_BYTES - 1)
  if #packed == HEAD_BYTES then return struct.unpack(HEAD, packed) end
end

local function ticket_of(id, length)
  if length == 0 then return '' end
  return redis.call('GETRANGE', appointment(id), HEAD_BYTES, HEAD_BYTES + length - 1)
end

local function count(at, state, provider, by)
  local day, name = counts_of(math.floor(at / DAY_MS)), state .. '|' .. provider
  redis.call('HINCRBY', day, name, by)
  if now - at < DAY_MS then  -- else the key is gone, and a correction would bring it back
    local ten = counts_of('t' .. math.floor(at / TEN_MS))
    redis.call('HINCRBY', ten, name, by)
    redis.call('PEXPIRE', ten, DAY_MS + TEN_MS)
  end
  return day
end

-- The envelope goes with the last reminder; the head stays, so that the same content is recognised.
local function write_head(id, version, leads, left, tag, ticket, keep_ms)
  local packed = struct.pack(HEAD, version, leads, left, tag, ticket)
  if left == 0 then
    redis.call('SET', appointment(id), packed .. ticket_of(id, ticket), 'PX', keep_ms + 30 * DAY_MS)
  else
    redis.call('SETRANGE', appointment(id), 0, packed)
  end
end

local function unlist(member)
  redis.call('ZREM', DUE, member)
  redis.call('ZREM', TURNS, member)
  redis.call('ZREM', LIVE, member)
  redis.call('ZREM', OPEN, member)
  redis.call('ZREM', DEAD, member)
  redis.call('ZREM', UNKNOWN, member)
end

-- Leaves an event for the platform, if it wants events; ``at`` and ``since`` are given if it is told once more.
local function announce(member, version, ticket, what, reason, at, since)
  if ticket > 0 then
    redis.call('ZADD', EVENTS, now, member .. table.concat({version, at or now, what, reason, since or now}, '|'))
  end
end

-- Records how a reminder ended, or corrects it; ``by`` is given if it was not its last attempt's provider after all.
-- Returns the head of its appointment.
local function close(member, state, reason, class, keep_ms, by)
  local key, id = reminder(member), string.sub(member, 1, 16)
  local old = redis.call('HMGET', key, 'ended', 'state', 'provider')
  local provider = by or old[3] or ''
  if old[1] then count(old[1], old[2], old[3] or '', -1) end
  unlist(member)
  redis.call('HSET', key, 'state', state, 'reason', reason, 'class', class, 'ended', now)
  redis.call('HDEL', key, 'token', 'wakes', 'claims', 'looks', 'called')
  redis.call('PEXPIRE', key, keep_ms)
  redis.call('PEXPIRE', count(now, state, provider, 1), keep_ms)
  if state == 'unknown' then redis.call('ZADD', UNKNOWN, now, member) end
  local version, leads, left, tag, ticket = head_of(id)
  if version and reason ~= 'cancelled' then  -- the platform that cancelled it knows
    announce(member, version, ticket, state, reason)
  end
  return version, leads, left, tag, ticket
end

-- Ends a reminder for good: the envelope goes, if no other reminder needs it.
local function finish(member, state, reason, class, keep_ms, by)
  local version, leads, left, tag, ticket = close(member, state, reason, class, keep_ms, by)
  if version and has(left, bit_of(member)) then
    local id = string.sub(member, 1, 16)
    write_head(id, version, leads, left - bit_of(member), tag, ticket, keep_ms)
  end
end

-- Holds what may have been sent since the backup from which this store was put back, for a person to decide, who may
-- need the envelope: it stays for up to a week.
local function hold(member, keep_ms)
  close(member, 'unknown', 'restored', 'technical', keep_ms)
  redis.call('ZADD', HELD, now + math.min(7 * DAY_MS, keep_ms), member)
end

-- Returns whether this store was put back after it was seen at ``since``. A server that crashes may lose some seconds.
local function was_put_back(since)
  return tonumber(redis.call('GET', P .. 'seen') or 0) + 30000 < tonumber(since)
end

local ARRIVED = {delivered = true, undelivered = true}
local AWAITS = {sending = true, unknown = true, sent = true, delivered = true, undelivered = true}

-- Takes a proof that an attempt was accepted. Of several, the first that is final with the provider stays.
-- "undelivered" proves less: if the attempt was already given up, the reminder goes on without it.
-- Returns 1 if it counts now, 3 if it is already known, 0 if there is no such attempt, 2 if another attempt of this
-- reminder was accepted too: the person was texted twice.
local function prove(member, ref, by, state, reason, class, message_id, forget_ms, keep_ms)
  local key = reminder(member)
  local known = redis.call('HMGET', key, 'state', 'ref', 'provider', 'message', 'asked')
  local old, last, provider, message, asked = unpack(known)
  local its_provider = last == ref and provider or redis.call('HGET', key, '@' .. ref)
  if ref == '' or not its_provider or (by ~= '' and by ~= its_provider) then return 0 end
  local function leave(name, at)  -- what the provider keeps must be removed, whatever this proof is worth
    if tonumber(forget_ms) >= 0 and name and name ~= '' then
      redis.call('ZADD', FORGET, at, math.floor(asked / DAY_MS) .. '|' .. its_provider .. '|' .. name)
    end
  end
  if state == 'undelivered' and (last ~= ref or not AWAITS[old]) then
    leave(message_id, now)
    return 0
  end
  local accepted = old == 'sent' or ARRIVED[old]
  if accepted and last ~= ref then
    leave(message_id, ARRIVED[state] and now or now + forget_ms)
    return 2
  end
  local old_news = ARRIVED[old] or (accepted and state == 'sent')
  if not old_news then
    if last ~= ref then
      redis.call('HSET', key, '@' .. last, provider, 'ref', ref)
      redis.call('HDEL', key, '@' .. ref)
    end
    finish(member, state, reason, class, keep_ms, its_provider)
    redis.call('HSET', key, 'provider', its_provider)
  end
  if message or message_id == '' then message_id = message else redis.call('HSET', key, 'message', message_id) end
  if not (old_news and message) then
    leave(message_id, ARRIVED[old_news and old or state] and now or now + forget_ms)
  end
  return old_news and 3 or 1
end
