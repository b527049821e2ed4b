-- lease: take, keep or give back a job that only one process may do.
--
-- KEYS  1 lease (string)
-- ARGV  1 holder: unique for each process   2 ms the lease lasts; 0 gives it back
-- Returns 1 when the caller holds the lease now (or gave it back), 0 when somebody else does.
--
-- Steps
--   1. somebody else holds it: 0
--   2. give it back, or take it (again) for its full time

local holder = redis.call('GET', KEYS[1])

-- 1
if holder and holder ~= ARGV[1] then
  return 0
end

-- 2
if tonumber(ARGV[2]) == 0 then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
