-- takes runtimes: json
local time_s = text(now())
for _, runtime in ipairs(runtimes) do redis.call('ZADD', P .. 'heard', time_s, runtime) end
