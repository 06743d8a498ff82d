-- takes ids: json
local found = {}
for place, id in ipairs(ids) do
  found[place] = {redis.call('HGETALL', P .. 'job:' .. id), redis.call('ZRANK', P .. 'queued', id) or ''}
end
return found
