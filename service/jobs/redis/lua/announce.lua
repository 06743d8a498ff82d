-- takes runtimes: json, worker
local time_s = text(now())
for _, runtime in ipairs(runtimes) do redis.call('ZADD', P .. 'heard', time_s, runtime) end
if worker == '' then return end
redis.call('ZADD', P .. 'workers', time_s, worker)
redis.call('ZREMRANGEBYSCORE', P .. 'workers', '-inf', now() - ABSENT_S)
