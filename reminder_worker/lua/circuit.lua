#!lua flags=allow-oom
-- Decides whether a platform's resolver may be asked now, and makes the call its trial if the circuit is half open.
-- report.lua learns how it went; keys: admit.lua. Runs on shard 0.
-- ARGV: name of the circuit, call
-- Returns ms to wait (0: ask now), 1 if success is to be reported.

local name, call = ARGV[1], ARGV[2]
local circuit, TRIAL_MS = P .. 'c:' .. name, 10000
local is_open, probe, prober, paused = unpack(redis.call('HMGET', circuit, 'until', 'probe', 'prober', 'paused'))
local open_until = to_come(is_open, 1, 0)
probe, paused = to_come(probe, 1, 0), to_come(paused, 1, 0)

if now < open_until then return {open_until - now, 0} end
if is_open and now < probe and prober ~= call then return {probe - now, 0} end
if now < paused then return {paused - now, 0} end
if is_open then redis.call('HSET', circuit, 'probe', now + TRIAL_MS, 'prober', call) end
return {0, redis.call('EXISTS', circuit)}
