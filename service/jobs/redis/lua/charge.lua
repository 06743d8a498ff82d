-- takes id, megapixels: number
local job, time_s, owner = P .. 'job:' .. id, now(), field_of(id, 'owner')
if not owner or redis.call('HEXISTS', job, '_charged') == 1 then return {'admitted'} end
local quota = {megapixels_per_day = tonumber(redis.call('HGET', job, '_megapixels_max') or '')}
local refused = refusal(owner, quota, {megapixels_per_day = megapixels}, time_s)
if refused then return refused end
use(owner, 'megapixels_per_day', megapixels, time_s)
redis.call('HSET', job, '_charged', '1')
return {'admitted'}
