-- takes id, owner, quota: json, bytes: number
local time_s = now()
if redis.call('EXISTS', P .. 'counted:' .. id) == 1 then return {'admitted'} end -- its answer got lost
local refused = refusal(owner, quota, {bytes_per_day = bytes}, time_s)
if refused then return refused end
use(owner, 'bytes_per_day', bytes, time_s)
redis.call('SET', P .. 'counted:' .. id, '1', 'EX', 3600)
return {'admitted'}
