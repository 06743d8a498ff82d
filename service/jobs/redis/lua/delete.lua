-- takes id
local state = state_of(id)
if not state then return end
leave(id)
note_over(id)
local owner = field_of(id, 'owner')
if owner then redis.call('ZREM', owned_by(owner), id) end
local key = redis.call('HGET', P .. 'job:' .. id, '_key')
if key then redis.call('DEL', P .. 'key:' .. key) end
redis.call('HINCRBY', P .. 'counts', state, -1)
for _, index in ipairs({'jobs', 'active', 'queued', 'finished', 'brief', 'hooks'}) do redis.call('ZREM', P .. index, id) end
redis.call('DEL', P .. 'job:' .. id, P .. 'steps:' .. id, P .. 'ready:' .. id, P .. 'line:' .. id)
