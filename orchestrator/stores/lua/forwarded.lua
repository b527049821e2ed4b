-- forwarded: how far ingest has brought source partitions into the log. Never backwards: a late word of a process that
-- was frozen changes nothing.
--
-- KEYS  1 positions of one source topic (hash: partition → next offset)
-- ARGV  partition, next offset; repeated
--
-- Steps
--   1. per partition: raise the position

for i = 1, #ARGV, 2 do
  -- 1
  if tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or '-1') < tonumber(ARGV[i + 1]) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
return #ARGV / 2
