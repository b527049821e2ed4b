-- admit: may one call to a provider start, and when? Breaker first, then a place under the shared rate limit.
-- The rate limit is a token bucket kept as one number: the time at which all calls that have a place are done.
--
-- KEYS  1 breaker (hash)   2 limit (string)
-- ARGV  1 ms between calls, 0 = no limit of ours   2 burst: calls that may start at once
--       3 ms a caller is willing to wait           4 ms one probe of an open breaker may take
-- Returns {verdict, wait in ms, failures}: verdict `go` (after the wait), `probe` (the one trial call of an open breaker),
--   `busy` (no place within the wait), `open` (breaker open for that long).
--
-- Steps
--   1. check the arguments; read Redis' clock
--   2. breaker open and its pause not over, or a probe under way: open
--   3. no place within the caller's patience: busy
--   4. take the place; on an open breaker take the probe too

local interval, burst, patience, probe = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

-- 1
if #KEYS ~= 2 or not (interval and burst and patience and probe) or interval < 0 or burst < 1 then
  return redis.error_reply('ERR admit: arguments do not fit')
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000

-- 2
local breaker = redis.call('HMGET', KEYS[1], 'state', 'failures', 'until')
local open, failures = breaker[1] == 'open', tonumber(breaker[2] or 0)
if open and now < tonumber(breaker[3]) then
  return {'open', math.ceil(tonumber(breaker[3]) - now), failures}
end

-- 3
local done = math.max(tonumber(redis.call('GET', KEYS[2]) or 0), now)
local wait = math.ceil(math.max(0, done - (burst - 1) * interval - now))
if wait > patience then
  return {'busy', wait, failures}
end

-- 4
if interval > 0 then
  redis.call('SET', KEYS[2], string.format('%.3f', done + interval), 'PX', math.ceil(done + interval - now) + 60000)
end
if open then
  redis.call('HSET', KEYS[1], 'until', string.format('%.3f', now + wait + probe))
  return {'probe', wait, failures}
end
return {'go', wait, failures}
