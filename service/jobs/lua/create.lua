-- takes id, key, digest, created_at, fields: json
local earlier = key ~= '' and redis.call('GET', P .. 'key:' .. key)
if earlier then
  if redis.call('HGET', P .. 'job:' .. earlier, '_digest') ~= digest then return {'conflict'} end
  return {'job', redis.call('HGETALL', P .. 'job:' .. earlier)}
end
-- A sweeper may have seen the manifest and restored the job a moment before us.
if not state_of(id) then insert(id, created_at, created_at, digest, 0, fields) end
remember_key(id, key)
return {'job', redis.call('HGETALL', P .. 'job:' .. id)}
