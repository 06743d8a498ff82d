-- takes id, event, token, moves: json, fields: json
-- moves: {state: next state}, of the event or of no event
local state = state_of(id)
if not state then return {'unknown'} end
local repeated = event ~= '' and redis.call('HGET', P .. 'job:' .. id, '_by|' .. event) == token
if repeated then return {'job', redis.call('HGETALL', P .. 'job:' .. id)} end
local target = moves[state]
if not target then return {'illegal', state} end
move(id, state, target, fields)
if event ~= '' then redis.call('HSET', P .. 'job:' .. id, '_by|' .. event, token) end
return {'job', redis.call('HGETALL', P .. 'job:' .. id)}
