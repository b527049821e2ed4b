-- settle: move one send from the status it is believed to be in to the next one. The only road between statuses after a claim.
--
-- KEYS  1 send (hash)   2 planned   3 sending   4 unknown   5 parked (zsets)   6 relay (stream)   7 count (hash)
-- ARGV  1 send_id
--       2 from: statuses it may be in, each between spaces (' unknown parked ')
--       3 attempt it must be at, '' = any that was claimed at least once
--       4 owner of the claim, '' = any
--       5 status: the new one
--       6 score: ms for the index of planned (not before), unknown (next look), parked (since); '' = closed
--       7 now: ms, for `updated`            8 retention: ms a finished send is kept
--       9 tried: 1 when a provider was called    10 doubts: 1 an attempt ended unknown, -1 a doubt was cleared, else 0
--      11 packed relay rows or ''
--      12.. field, value pairs for the hash
-- Returns {1, status, attempt} when moved, {0, status, attempt} of what was found when not (status '' = no such send).
--
-- Steps
--   1. check the arguments
--   2. compare status, attempt and owner; refuse when they moved (a dispatcher's late answer is counted).
--      Refuse to plan what has no body, and to close an unknown twice
--   3. leave the index of the old status
--   4. write status, fields, tries and doubts
--   5. open status: enter its index, keep the body; closed: drop the body, set the expiry
--   6. relay rows
--   7. count

local send_id, from, attempt, owner = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local status, score, now, retention = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local index = {planned = KEYS[2], sending = KEYS[3], unknown = KEYS[4], parked = KEYS[5]}

-- 1
if #KEYS ~= 7 or #ARGV < 11 or (#ARGV - 11) % 2 ~= 0 or not tonumber(now) or not tonumber(retention)
    or not tonumber(ARGV[9]) or not tonumber(ARGV[10]) or (score ~= '' and (not tonumber(score) or not index[status])) then
  return redis.error_reply('ERR settle: arguments do not fit')
end

-- 2
local found = redis.call('HMGET', KEYS[1], 'status', 'attempt', 'owner', 'doubts')
local old, at = found[1] or '', tonumber(found[2] or 0)
if not string.find(from, ' ' .. old .. ' ', 1, true) or at == 0
    or (attempt ~= '' and tonumber(attempt) ~= at) or (owner ~= '' and owner ~= found[3]) then
  if owner ~= '' then
    redis.call('HINCRBY', KEYS[7], 'sends:late', 1)
  end
  return {0, old, at}
end

if (status == 'planned' and redis.call('HEXISTS', KEYS[1], 'row') == 0)
    or (old == 'unknown' and status == 'unknown' and not redis.call('ZSCORE', KEYS[4], send_id)) then
  return {0, old, at}
end

-- 3
if index[old] then
  redis.call('ZREM', index[old], send_id)
end

-- 4
redis.call('HSET', KEYS[1], 'status', status, 'updated', now, unpack(ARGV, 12))
if tonumber(ARGV[9]) == 1 then
  redis.call('HINCRBY', KEYS[1], 'tries', 1)
end
if tonumber(ARGV[10]) ~= 0 and tonumber(found[4] or 0) + tonumber(ARGV[10]) >= 0 then
  redis.call('HINCRBY', KEYS[1], 'doubts', ARGV[10])
end

-- 5
if score ~= '' then
  redis.call('ZADD', index[status], score, send_id)
  redis.call('PERSIST', KEYS[1])
else
  redis.call('HDEL', KEYS[1], 'row')
  redis.call('PEXPIRE', KEYS[1], retention)
end

-- 6
if ARGV[11] ~= '' then
  redis.call('XADD', KEYS[6], '*', 'rows', ARGV[11])
end

-- 7
redis.call('HINCRBY', KEYS[7], 'sends:' .. (status == 'planned' and 'put_back' or status), 1)
return {1, status, at}
