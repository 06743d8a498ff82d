-- takes id, step, owner, lease_s: number, attempts_max: number, runtimes: json
-- runtimes: of a worker that leaves the step where another job has the next turn with it; null: it does not ask
local time_s = now()
if not may_run(id, step, state_of(id)) then return {'no'} end
if is_held(id, step, time_s) then
  if get(id, step, 'owner') ~= owner then return {'no'} end
  return lease_of(id, step) -- its answer got lost, and it is asked for again
end
if runtimes ~= cjson.null then
  local turn = next_turn(rings_of(runtimes, time_s))
  if turn and turn[4] ~= id then return {'no'} end
end
local attempts = tonumber(get(id, step, 'attempts') or 0)
if attempts >= attempts_max then return {'too_many', attempts} end
return begin(id, step, owner, lease_s)
