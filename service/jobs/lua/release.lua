local id, step, owner, fence = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if not is_newest(id, step, owner, fence) or get(id, step, 'done') then return end
set(id, step, 'owner', '')
set(id, step, 'expires_at', '0')
set(id, step, 'queued_at', '')
redis.call('HINCRBY', P .. 'steps:' .. id, step .. '|attempts', -1)
