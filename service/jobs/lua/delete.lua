-- takes id
local state = state_of(id)
if not state then return end
local key = redis.call('HGET', P .. 'job:' .. id, '_key')
if key then redis.call('DEL', P .. 'key:' .. key) end
redis.call('HINCRBY', P .. 'counts', state, -1)
for _, index in ipairs({'jobs', 'active', 'finished'}) do redis.call('ZREM', P .. index, id) end
redis.call('DEL', P .. 'job:' .. id, P .. 'steps:' .. id, P .. 'ready:' .. id)
