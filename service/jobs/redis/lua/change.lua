-- takes id, step, owner, fence, event, token, moves: json, fields: json
-- moves: {state: next state} of the event; step, owner and fence are of a lease, or empty
local state = state_of(id)
if not state then return {'unknown'} end
if redis.call('HGET', P .. 'job:' .. id, '_by|' .. event) == token then
  return {'job', redis.call('HGETALL', P .. 'job:' .. id)}
end
if step ~= '' and not is_newest(id, step, owner, fence) then return {'superseded'} end
local target = moves[state]
if not target then return {'illegal', state} end
move(id, state, target, fields)
redis.call('HSET', P .. 'job:' .. id, '_by|' .. event, token)
return {'job', redis.call('HGETALL', P .. 'job:' .. id)}
