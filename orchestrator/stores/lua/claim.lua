-- claim: take planned sends for one dispatcher, end those that came too late.
--
-- KEYS  1 planned (zset)   2 sending (zset)   3 relay (stream)   4 count (hash)   5.. one send (hash) per row, in ARGV's order
-- ARGV  1 owner: unique for each call, so that a repeated call finds its own claims again
--       2 deadline: ms at which the claim is given up     3 now: ms, for `updated`
--       4 retention: ms a finished send is kept
--       then five per row: send_id, action (`claim`, or the final status), customer, channel, packed relay rows or ''
-- Returns per row {attempt, tries, doubts}; attempt 0 = not ours (no longer planned, or ended).
--
-- Steps
--   1. check the number of arguments against the keys; nothing is written before
--   per row:
--   2. a send that this very call claimed already (its answer was lost): return the claim again
--   3. a send that is no longer planned: drop the stale index entry
--   4. an end: final status, body dropped, expiry set, relay rows, counted
--   5. a claim: status sending, attempt + 1, owner; from `planned` into `sending` with the deadline; counted

local owner, deadline, now, retention = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

-- 1
local rows = #KEYS - 4
if #ARGV ~= 4 + 5 * rows or not tonumber(deadline) or not tonumber(now) or not tonumber(retention) then
  return redis.error_reply('ERR claim: arguments do not fit the keys')
end

local result = {}
for i = 1, rows do
  local send, at = KEYS[4 + i], 4 + 5 * (i - 1)
  local send_id, action, customer, channel, relayed = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  local found = redis.call('HMGET', send, 'status', 'owner', 'attempt', 'tries', 'doubts')
  local status, attempt = found[1], tonumber(found[3] or 0)
  if status == 'sending' and found[2] == owner then
    -- 2
  elseif status ~= 'planned' then
    -- 3
    attempt = 0
    redis.call('ZREM', KEYS[1], send_id)
  elseif action ~= 'claim' then
    -- 4
    attempt = 0
    redis.call('ZREM', KEYS[1], send_id)
    redis.call('HSET', send, 'status', action, 'updated', now, 'customer', customer, 'channel', channel)
    redis.call('HDEL', send, 'row')
    redis.call('PEXPIRE', send, retention)
    if relayed ~= '' then
      redis.call('XADD', KEYS[3], '*', 'rows', relayed)
    end
    redis.call('HINCRBY', KEYS[4], 'sends:' .. action, 1)
  else
    -- 5
    attempt = redis.call('HINCRBY', send, 'attempt', 1)
    redis.call('HSET', send, 'status', 'sending', 'owner', owner, 'updated', now, 'customer', customer, 'channel', channel)
    redis.call('ZREM', KEYS[1], send_id)
    redis.call('ZADD', KEYS[2], deadline, send_id)
    redis.call('HINCRBY', KEYS[4], 'sends:claimed', 1)
  end
  result[i] = {attempt, tonumber(found[4] or 0), tonumber(found[5] or 0)}
end
return result
