-- report: what a call to a provider tells about the provider's health.
--
-- KEYS  1 breaker (hash)   2 limit (string)
-- ARGV  1 verdict: `good`, `bad` (timeout, reset, 5xx, no connection), `refused` (credentials or account), `slow_down` (429)
--       2 reason: one stable word              3 bad calls in a row that open the breaker
--       4 ms the breaker stays open            5 ms to pause (slow_down)
--       6 ms between calls   7 burst (the limit's, see admit)
-- Returns `opened`, `closed`, or '' when the breaker did not change.
--
-- Steps
--   1. check the arguments; read Redis' clock
--   2. good: forget failures, close
--   3. slow_down: nobody gets a place before the pause is over
--   4. refused: open at once; bad: count, open when it was open (a failed probe) or the count is reached

local verdict, reason = ARGV[1], ARGV[2]
local threshold, pause, slow = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local interval, burst = tonumber(ARGV[6]), tonumber(ARGV[7])

-- 1
if #KEYS ~= 2 or not (threshold and pause and slow and interval and burst) then
  return redis.error_reply('ERR report: arguments do not fit')
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
local open = redis.call('HGET', KEYS[1], 'state') == 'open'

-- 2
if verdict == 'good' then
  redis.call('DEL', KEYS[1])
  return open and 'closed' or ''
end

-- 3
if verdict == 'slow_down' then
  local done = math.max(tonumber(redis.call('GET', KEYS[2]) or 0), now + slow + (burst - 1) * interval)
  redis.call('SET', KEYS[2], string.format('%.3f', done), 'PX', math.ceil(done - now) + 60000)
  return ''
end

-- 4
local failures = redis.call('HINCRBY', KEYS[1], 'failures', 1)
if verdict == 'refused' or open or failures >= threshold then
  redis.call('HSET', KEYS[1], 'state', 'open', 'until', string.format('%.3f', now + pause), 'reason', reason)
  redis.call('PERSIST', KEYS[1])
  return open and '' or 'opened'
end
redis.call('PEXPIRE', KEYS[1], 3600000)
return ''
