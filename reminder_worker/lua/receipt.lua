#!lua flags=allow-oom
-- Writes down what a provider reports of an attempt: it is with the provider, or it arrived, or it did not.
-- ARGV: member, ref, provider, sent | delivered | undelivered, reason, class, provider_message_id, forget ms, keep_ms
-- Returns 1 where it counts, 0 where there is no such attempt, 2 where the person was texted twice.
local member, ref, by, state, reason, class, message_id = unpack(ARGV, 1, 7)
return prove(member, ref, by, state, reason, class, message_id, ARGV[8], ARGV[9])
