-- fold: after Redis went back in time, take over from the journal what it forgot about one send.
--
-- KEYS  1 send (hash)   2 planned   3 sending   4 unknown   5 parked (zsets)   6 relay (stream)   7 count (hash)
-- ARGV  1 send_id   2 attempt: the last one in the journal   3 outcome: sent, not_sent, or '' when the journal holds only the claim
--       4 now: ms   5 retention: ms   6 next look: ms for an unknown   7 customer   8 channel   9 provider
--      10 packed relay rows for `sent`
-- Returns the new status, or '' when Redis already knows as much as the journal.
--
-- Steps
--   1. check the arguments
--   2. Redis knows this attempt: only a journalled `sent` beats an open or unknown end of the same attempt
--   3. take the attempt over: sent → sent; only a claim → unknown; not_sent → a planned send keeps its place and learns the
--      number. A send that Redis does not hold is created (not for not_sent), so that the replay cannot plan it again.

local attempt, outcome, now = tonumber(ARGV[2]), ARGV[3], ARGV[4]

-- 1
if #KEYS ~= 7 or #ARGV ~= 10 or not attempt or not tonumber(now) or not tonumber(ARGV[5]) or not tonumber(ARGV[6]) then
  return redis.error_reply('ERR fold: arguments do not fit')
end

-- 2
local found = redis.call('HMGET', KEYS[1], 'status', 'attempt')
local old, at = found[1] or '', tonumber(found[2] or 0)
if old == 'sent' or at > attempt then
  return ''
end
if at == attempt and outcome ~= 'sent' then
  return ''
end

-- 3
if outcome == 'not_sent' then
  if old == 'planned' then
    redis.call('HSET', KEYS[1], 'attempt', attempt)
  end
  return ''
end
for i = 2, 5 do
  redis.call('ZREM', KEYS[i], ARGV[1])
end
redis.call('HSET', KEYS[1], 'attempt', attempt, 'updated', now, 'customer', ARGV[7], 'channel', ARGV[8], 'provider', ARGV[9])
if outcome == 'sent' then
  redis.call('HSET', KEYS[1], 'status', 'sent')
  redis.call('HDEL', KEYS[1], 'row')
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  redis.call('XADD', KEYS[6], '*', 'rows', ARGV[10])
else
  redis.call('HSET', KEYS[1], 'status', 'unknown')
  redis.call('HINCRBY', KEYS[1], 'doubts', 1)
  redis.call('PERSIST', KEYS[1])
  redis.call('ZADD', KEYS[4], ARGV[6], ARGV[1])
end
redis.call('HINCRBY', KEYS[7], 'sends:folded', 1)
return outcome == 'sent' and 'sent' or 'unknown'
