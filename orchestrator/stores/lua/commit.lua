-- commit(meta, timers, planned, relay, count, sums, customers, documents…, sends…, withdrawn…)
--
-- One partition's batch, all or nothing. Redis does not roll back a script that fails half way, so every check comes
-- before the first write, and what is written cannot fail for its type: the keys are ours alone.
--
-- KEYS  1 meta  2 timers  3 planned  4 relay  5 count  6 sums  7 customers
--       then `documents` document keys, `sends` keys of new outbox rows, `withdrawn` keys of sends to take back
-- ARGV  1 epoch  2 seq  3 offset  4 clock  5 control
--       6 documents  7 timers set  8 timers removed  9 sends  10 withdrawn  11 relayed (0 or 1)  12 counters  13 sums
--       14 retention: ms a withdrawn send is remembered  15 newcomers
--       then: document bodies; score, customer pairs; customers; (send id, not before, row, decided at) quadruples;
--       (send id, relay rows) pairs; relay rows; (counter, by) pairs; (sum, by) pairs; (0, customer) pairs
--
-- Returns {1} when committed; {0, epoch, seq} when the fence moved and nothing was written.
--
-- 1 compare the fence   2 documents   3 timers   4 outbox: plan, withdraw   5 relay, counters, sums, newcomers   6 position
local fence = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
if fence[1] ~= ARGV[1] or (fence[2] or '0') ~= ARGV[2] then
  return {0, fence[1] or '', fence[2] or '0'}
end
local documents, timers_set, timers_removed = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local sends, withdrawn, relayed, counters = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local sums, newcomers = tonumber(ARGV[13]), tonumber(ARGV[15])
local at = 15
local expected = at + documents + 2 * timers_set + timers_removed + 4 * sends + 2 * withdrawn + relayed
  + 2 * (counters + sums + newcomers)
if #ARGV ~= expected or #KEYS ~= 7 + documents + sends + withdrawn then
  return redis.error_reply('ERR commit: expected ' .. expected .. ' arguments, got ' .. #ARGV)
end
-- Lua's unpack is bounded by its stack; chunks stay far below it.
local CHUNK = 4000

local key = 7
local pairs_ = {}
for i = 1, documents do
  pairs_[#pairs_ + 1] = KEYS[key + i]
  pairs_[#pairs_ + 1] = ARGV[at + i]
  if #pairs_ == CHUNK then
    redis.call('MSET', unpack(pairs_))
    pairs_ = {}
  end
end
if #pairs_ > 0 then redis.call('MSET', unpack(pairs_)) end
key, at = key + documents, at + documents

for first = at + 1, at + 2 * timers_set, CHUNK do
  redis.call('ZADD', KEYS[2], unpack(ARGV, first, math.min(first + CHUNK - 1, at + 2 * timers_set)))
end
at = at + 2 * timers_set
for first = at + 1, at + timers_removed, CHUNK do
  redis.call('ZREM', KEYS[2], unpack(ARGV, first, math.min(first + CHUNK - 1, at + timers_removed)))
end
at = at + timers_removed

local plan = {}
for i = 1, sends do
  local send_id, not_before, row, decided = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  -- A send id is planned once, ever: a rolled-back and replayed run makes the same id.
  if redis.call('HSETNX', KEYS[key + i], 'status', 'planned') == 1 then
    redis.call('HSET', KEYS[key + i], 'row', row, 'decided', decided)
    plan[#plan + 1] = not_before
    plan[#plan + 1] = send_id
    if #plan == CHUNK then
      redis.call('ZADD', KEYS[3], unpack(plan))
      plan = {}
    end
  end
  at = at + 4
end
if #plan > 0 then redis.call('ZADD', KEYS[3], unpack(plan)) end
key = key + sends
for i = 1, withdrawn do
  if redis.call('HGET', KEYS[key + i], 'status') == 'planned' then
    redis.call('HSET', KEYS[key + i], 'status', 'withdrawn')
    redis.call('HDEL', KEYS[key + i], 'row')
    redis.call('PEXPIRE', KEYS[key + i], ARGV[14])
    redis.call('ZREM', KEYS[3], ARGV[at + 1])
    redis.call('XADD', KEYS[4], '*', 'rows', ARGV[at + 2])
  end
  at = at + 2
end

if relayed == 1 then
  redis.call('XADD', KEYS[4], '*', 'rows', ARGV[at + 1])
  at = at + 1
end
for _ = 1, counters do
  redis.call('HINCRBY', KEYS[5], ARGV[at + 1], ARGV[at + 2])
  at = at + 2
end
for _ = 1, sums do
  redis.call('HINCRBY', KEYS[6], ARGV[at + 1], ARGV[at + 2])
  at = at + 2
end
for first = at + 1, at + 2 * newcomers, CHUNK do
  redis.call('ZADD', KEYS[7], unpack(ARGV, first, math.min(first + CHUNK - 1, at + 2 * newcomers)))
end

redis.call('HSET', KEYS[1], 'seq', string.format('%d', tonumber(ARGV[2]) + 1),
  'offset', ARGV[3], 'clock', ARGV[4], 'control', ARGV[5])
return {1}
