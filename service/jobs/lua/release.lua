-- takes id, step, owner, fence
if not is_newest(id, step, owner, fence) or get(id, step, 'done') then return end
set(id, step, 'owner', '')
set(id, step, 'expires_at', '0')
set(id, step, 'queued_at', '')
redis.call('HINCRBY', P .. 'steps:' .. id, step .. '|attempts', -1)
