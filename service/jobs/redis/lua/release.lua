-- takes id, step, owner, fence, only_for
if not is_newest(id, step, owner, fence) or get(id, step, 'done') then return end
set(id, step, 'owner', '')
set(id, step, 'expires_at', '0')
redis.call('HINCRBY', P .. 'steps:' .. id, step .. '|attempts', -1)
if only_for ~= '' then redis.call('HSET', P .. 'job:' .. id, '_runtime', only_for) end
line_up(id, step, state_of(id), now())
stand(id)
