-- takes id
local state, time_s, waiting = state_of(id), now(), {}
for _, step in ipairs(redis.call('SMEMBERS', P .. 'ready:' .. id)) do
  if may_run(id, step, state) and not is_held(id, step, time_s) then table.insert(waiting, step) end
end
return waiting
