-- Append records to one partition of the embedded mode's log, all or none.
--
-- KEYS[1]  the stream of the partition
-- ARGV     per record two words: the key behind '=' ('' for a record without a key), the value
-- answer   the offset of the first record
--
-- 1. Read the next offset. It is the stream's own last id, which trimming does not take back.
-- 2. Take the server's time once: it is the append time of all records of the call.
-- 3. Add the records. Nothing before this writes, and nothing in it can fail half-way.

-- Before Redis 7 a script that read the clock may write only when its effects are what is logged.
redis.replicate_commands()

local next_id = 1
if redis.call('EXISTS', KEYS[1]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      next_id = tonumber(string.match(info[i + 1], '^%d+')) + 1
    end
  end
end

local now = redis.call('TIME')
local at = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))

for i = 1, #ARGV, 2 do
  local id = string.format('%.0f-0', next_id + (i - 1) / 2)
  if ARGV[i] == '' then
    redis.call('XADD', KEYS[1], id, 't', at, 'v', ARGV[i + 1])
  else
    redis.call('XADD', KEYS[1], id, 't', at, 'v', ARGV[i + 1], 'k', string.sub(ARGV[i], 2))
  end
end

return next_id - 1
