-- takes owner, runtimes: json, id, step, lease_s: number
-- id, step: what a message named; it is put in line where that was missed, by a process of a former version say
local time_s, took = now(), P .. 'took:' .. owner
local known = redis.call('GET', took)
if known then -- its answer got lost, and it is asked for again
  local known_id, known_step = string.match(known, '^(%S+) (%S+)$')
  if get(known_id, known_step, 'owner') ~= owner or get(known_id, known_step, 'done') then return {'no'} end
  return lease_of(known_id, known_step)
end
local told_state = id ~= '' and state_of(id)
if told_state and line_up(id, step, told_state, time_s) then stand(id) end
local reach = rings_of(runtimes, time_s)
local turn = next_turn(reach)
while turn do
  local spent, job = turn[1], turn[4]
  local state, first = state_of(job), first_in_line(job)
  if first and may_run(job, first, state) and not is_held(job, first, time_s) then
    if runtimes ~= cjson.null and spent > level() then redis.call('SET', P .. 'level', spent) end
    redis.call('SET', took, job .. ' ' .. first, 'PX', math.max(1, math.ceil(lease_s * 1000)))
    return begin(job, first, owner, lease_s)
  end
  -- A process of a former version began it, or ended or deleted the job, and knows of no line.
  if state and not TERMINAL[state] and first then
    redis.call('ZREM', P .. 'line:' .. job, first)
    stand(job)
  else
    redis.call('DEL', P .. 'line:' .. job)
    take_out(turn[5], turn[2], job)
    redis.call('HDEL', P .. 'job:' .. job, '_ring', '_since')
  end
  turn = next_turn(reach)
end
return {'no'}
