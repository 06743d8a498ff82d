-- takes id, key, digest, created_at, fields: json, owner, quota: json, asked: json
-- owner: empty for a job that is nobody's; quota, asked: what it may use, and what of that this job takes
local earlier = key ~= '' and redis.call('GET', P .. 'key:' .. key)
if earlier then
  if redis.call('HGET', P .. 'job:' .. earlier, '_digest') ~= digest then return {'conflict'} end
  return {'job', redis.call('HGETALL', P .. 'job:' .. earlier)}
end
local job = P .. 'job:' .. id
if owner ~= '' and redis.call('HEXISTS', job, '_counted') == 0 then
  local time_s = now()
  local refused = refusal(owner, quota, asked, time_s)
  if refused then return refused end
  for _, what in ipairs({'bytes_per_day', 'samples_per_day'}) do use(owner, what, asked[what] or 0, time_s) end
end
-- A sweeper may have seen the manifest and restored the job a moment before us.
if not state_of(id) then insert(id, created_at, created_at, digest, 0, fields) end
if owner ~= '' then
  local megapixels_max = limit_of(quota, 'megapixels_per_day')
  redis.call('HSET', job, '_counted', '1', '_megapixels_max', megapixels_max and text(megapixels_max) or '')
end
remember_key(id, key)
return {'job', redis.call('HGETALL', job)}
