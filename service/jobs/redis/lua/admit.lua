-- takes owner, quota: json, asked: json, unless_key
if unless_key ~= '' and redis.call('EXISTS', P .. 'key:' .. unless_key) == 1 then return {'admitted'} end
return refusal(owner, quota, asked, now()) or {'admitted'}
