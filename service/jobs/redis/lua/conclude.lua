-- takes id, key, digest, created_at, updated_at, state, frames_done: number, fields: json
local known = state_of(id)
if not known then
  insert(id, created_at, updated_at, digest, 0, fields)
  remember_key(id, key)
elseif not TERMINAL[known] or (known == 'succeeded' and state == 'expired') then
  local so_far = tonumber(redis.call('HGET', P .. 'job:' .. id, 'frames_done'))
  move(id, known, state, fields)
  redis.call('HSET', P .. 'job:' .. id, 'frames_done', math.max(so_far, frames_done))
end
return redis.call('HGETALL', P .. 'job:' .. id)
