-- takes id
-- Returns step, time last queued, step, time last queued ...
local state, time_s, waiting = state_of(id), now(), {}
for _, step in ipairs(redis.call('SMEMBERS', P .. 'ready:' .. id)) do
  if may_run(id, step, state) and not is_held(id, step, time_s) then
    table.insert(waiting, step)
    table.insert(waiting, get(id, step, 'queued_at') or '')
  end
end
return waiting
