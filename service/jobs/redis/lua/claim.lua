-- takes key, id, instead_of, life_s: number
local claimed = redis.call('GET', P .. 'claim:' .. key)
if claimed and claimed ~= instead_of then return claimed end
redis.call('SET', P .. 'claim:' .. key, id, 'EX', life_s)
return id
