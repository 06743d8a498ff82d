-- takes id, event, token, moves: json, fields: json
-- moves: {state: next state}, of the event or of no event; fields: {name, JSON, name, JSON ...}
local state = state_of(id)
if not state then return {'unknown'} end
local repeated = event ~= '' and redis.call('HGET', P .. 'job:' .. id, '_by|' .. event) == token
if repeated then return {'job', redis.call('HGETALL', P .. 'job:' .. id)} end
local target = moves[state]
if not target then return {'illegal', state} end
local time_s = text(now())
redis.call('HSET', P .. 'job:' .. id, 'updated_at', time_s, 'state', cjson.encode(target), unpack(fields))
if event ~= '' then redis.call('HSET', P .. 'job:' .. id, '_by|' .. event, token) end
if target ~= state then
  redis.call('HINCRBY', P .. 'counts', state, -1)
  redis.call('HINCRBY', P .. 'counts', target, 1)
  if TERMINAL[target] then
    redis.call('ZREM', P .. 'active', id)
    redis.call('ZADD', P .. 'finished', time_s, id)
  end
end
return {'job', redis.call('HGETALL', P .. 'job:' .. id)}
