-- takes id, step, owner, lease_s: number, attempts_max: number
local time_s = now()
if not may_run(id, step, state_of(id)) then return {'no'} end
local attempts = tonumber(get(id, step, 'attempts') or 0)
if is_held(id, step, time_s) then
  if get(id, step, 'owner') ~= owner then return {'no'} end
  -- Its answer got lost, and it is asked for again.
  return {'lease', tonumber(get(id, step, 'fence')), get(id, step, 'expires_at'), attempts}
end
if attempts >= attempts_max then return {'too_many', attempts} end
local expires_at = text(time_s + lease_s)
local fence = redis.call('HINCRBY', P .. 'steps:' .. id, step .. '|fence', 1)
set(id, step, 'owner', owner)
set(id, step, 'expires_at', expires_at)
set(id, step, 'attempts', attempts + 1)
set(id, step, 'queued_at', '')
return {'lease', fence, expires_at, attempts + 1}
