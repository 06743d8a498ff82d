"""The Lua behind redis.py: each script is one atomic move of the store, on the server's own clock.

    job:<id>     hash   every field of Job as JSON, and fields of ours that begin with `_`
    steps:<id>   hash   `<step>|<field>` of every StepRecord; empty text is None
    ready:<id>   set    steps not done whose predecessors are; lease and state are looked at when asked
    key:<key>    text   the job an idempotency key made
    jobs         sorted set, score 0: all ids, in order of age because ids sort so
    active       sorted set by creation time: jobs that have not ended
    finished     sorted set by time of ending: the others
    counts       hash   jobs by state
    complete     text   there when every manifest is in the store; it goes with the rest when that is lost

Everything lies under the prefix `upscaled:`. Times are seconds since 1970 with six digits, as text, because a
number that Lua returns loses its fraction.
"""

import json

from service.jobs.states import TERMINAL, JobState
from service.jobs.store import RUNNABLE_IN

PREFIX = "upscaled:"

_STATES_OF_KIND = {kind: {state.value: True for state in states} for kind, states in RUNNABLE_IN.items()}
_TERMINAL = {state.value: True for state in TERMINAL}
_ENDED_BADLY = {state.value: True for state in TERMINAL - {JobState.SUCCEEDED}}

_PRELUDE = (
    f"""
local P = '{PREFIX}'
local STATES_OF_KIND = cjson.decode('{json.dumps(_STATES_OF_KIND)}')
local TERMINAL = cjson.decode('{json.dumps(_TERMINAL)}')
local ENDED_BADLY = cjson.decode('{json.dumps(_ENDED_BADLY)}')
"""
    + r"""
local function text(time_s) return string.format('%.6f', time_s) end

local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) + tonumber(t[2]) / 1000000
end

local function state_of(id)
  local raw = redis.call('HGET', P .. 'job:' .. id, 'state')
  return raw and cjson.decode(raw)
end

local function kind_of(step) return string.match(step, '^[^/]+') end

local function get(id, step, field)
  local value = redis.call('HGET', P .. 'steps:' .. id, step .. '|' .. field)
  if value == '' then return false end
  return value
end

local function set(id, step, field, value)
  redis.call('HSET', P .. 'steps:' .. id, step .. '|' .. field, value)
end

-- Runnable but for a lease: its predecessors are done, it is not, and the job is in the right state.
local function may_run(id, step, state)
  local states = STATES_OF_KIND[kind_of(step)]
  return state and states and states[state] and redis.call('SISMEMBER', P .. 'ready:' .. id, step) == 1
end

local function is_held(id, step, time_s)
  return get(id, step, 'owner') and tonumber(get(id, step, 'expires_at')) > time_s
end

-- An expired lease is good until someone takes over.
local function is_newest(id, step, owner, fence)
  return get(id, step, 'owner') == owner and get(id, step, 'fence') == fence
end

-- A step that begins anew counts from zero, so only what exceeds its best so far is progress.
local function move_progress(id, step, frames_done)
  local frame_count = tonumber(get(id, step, 'frame_count') or 0)
  local gained = math.min(frames_done, frame_count) - tonumber(get(id, step, 'frames_done') or 0)
  if gained <= 0 then return end
  redis.call('HINCRBY', P .. 'steps:' .. id, step .. '|frames_done', gained)
  redis.call('HINCRBY', P .. 'job:' .. id, 'frames_done', gained)
  redis.call('HSET', P .. 'job:' .. id, 'updated_at', text(now()))
end

local function add_step(id, step)
  set(id, step, 'fence', redis.call('HGET', P .. 'job:' .. id, '_fence_floor'))
end

local function mark_done(id, step, part_key, state_key)
  set(id, step, 'done', '1')
  set(id, step, 'part_key', part_key)
  set(id, step, 'state_key', state_key)
  set(id, step, 'queued_at', '')
  redis.call('SREM', P .. 'ready:' .. id, step)
  if kind_of(step) ~= 'segment' then return end
  move_progress(id, step, tonumber(get(id, step, 'frame_count')))
  local successor = get(id, step, 'successor')
  if successor and not get(id, successor, 'done') then redis.call('SADD', P .. 'ready:' .. id, successor) end
  local done = redis.call('HINCRBY', P .. 'job:' .. id, '_segments_done', 1)
  if done == tonumber(redis.call('HGET', P .. 'job:' .. id, '_segments_total')) then
    redis.call('SADD', P .. 'ready:' .. id, 'assemble')
  end
end

-- segments: a list of {index, frame_count, index of the one it follows or -1}
local function lay_out(id, segments)
  local earlier = tonumber(redis.call('HGET', P .. 'job:' .. id, '_segments_total'))
  for index = 0, earlier - 1 do
    local step = 'segment/' .. index
    for _, field in ipairs({'fence', 'frame_count', 'successor'}) do
      redis.call('HDEL', P .. 'steps:' .. id, step .. '|' .. field)
    end
    redis.call('SREM', P .. 'ready:' .. id, step)
  end
  for _, segment in ipairs(segments) do
    local step = 'segment/' .. segment[1]
    add_step(id, step)
    set(id, step, 'frame_count', segment[2])
    if segment[3] < 0 then
      redis.call('SADD', P .. 'ready:' .. id, step)
    else
      set(id, 'segment/' .. segment[3], 'successor', step)
    end
  end
  redis.call('HSET', P .. 'job:' .. id, '_segments_total', #segments, '_segments_done', 0)
end

-- fields: pairs of a field's name and its JSON, in ARGV from the given place
local function insert(id, created_at, updated_at, digest, fence_floor, first)
  redis.call('HSET', P .. 'job:' .. id, '_digest', digest, '_fence_floor', fence_floor,
    '_segments_total', 0, '_segments_done', 0, unpack(ARGV, first))
  add_step(id, 'plan')
  add_step(id, 'assemble')
  redis.call('SADD', P .. 'ready:' .. id, 'plan')
  redis.call('ZADD', P .. 'jobs', 0, id)
  local state = state_of(id)
  redis.call('HINCRBY', P .. 'counts', state, 1)
  if TERMINAL[state] then
    redis.call('ZADD', P .. 'finished', updated_at, id)
  else
    redis.call('ZADD', P .. 'active', created_at, id)
  end
end

-- A key belongs to the job that came first, also when a later one's manifest is found.
local function remember_key(id, key)
  if key == '' or redis.call('EXISTS', P .. 'key:' .. key) == 1 then return end
  redis.call('SET', P .. 'key:' .. key, id)
  redis.call('HSET', P .. 'job:' .. id, '_key', key)
end
"""
)

CREATE = (
    _PRELUDE
    + """
local id, key, digest, created_at = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local earlier = key ~= '' and redis.call('GET', P .. 'key:' .. key)
if earlier then
  if redis.call('HGET', P .. 'job:' .. earlier, '_digest') ~= digest then return {'conflict'} end
  return {'job', redis.call('HGETALL', P .. 'job:' .. earlier)}
end
-- A sweeper may have seen the manifest and restored the job a moment before us.
if not state_of(id) then insert(id, created_at, created_at, digest, 0, 5) end
remember_key(id, key)
return {'job', redis.call('HGETALL', P .. 'job:' .. id)}
"""
)

RESTORE = (
    _PRELUDE
    + """
local id, key, digest, created_at, updated_at = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local fence_floor, segments, parts = ARGV[6], cjson.decode(ARGV[7]), cjson.decode(ARGV[8])
if state_of(id) then return 0 end
insert(id, created_at, updated_at, digest, fence_floor, 9)
lay_out(id, segments)
for _, part in ipairs(parts) do mark_done(id, part[1], part[2], part[3]) end
remember_key(id, key)
return 1
"""
)

DELETE = (
    _PRELUDE
    + """
local id = ARGV[1]
local state = state_of(id)
if not state then return end
local key = redis.call('HGET', P .. 'job:' .. id, '_key')
if key then redis.call('DEL', P .. 'key:' .. key) end
redis.call('HINCRBY', P .. 'counts', state, -1)
for _, index in ipairs({'jobs', 'active', 'finished'}) do redis.call('ZREM', P .. index, id) end
redis.call('DEL', P .. 'job:' .. id, P .. 'steps:' .. id, P .. 'ready:' .. id)
"""
)

# ARGV: id, the moves {state: next state} of the event or of no event, then pairs of field and JSON.
CHANGE = (
    _PRELUDE
    + """
local id, moves = ARGV[1], cjson.decode(ARGV[2])
local state = state_of(id)
if not state then return {'unknown'} end
local target = moves[state]
if not target then return {'illegal', state} end
local time_s = text(now())
redis.call('HSET', P .. 'job:' .. id, 'updated_at', time_s, 'state', cjson.encode(target), unpack(ARGV, 3))
if target ~= state then
  redis.call('HINCRBY', P .. 'counts', state, -1)
  redis.call('HINCRBY', P .. 'counts', target, 1)
  if TERMINAL[target] then
    redis.call('ZREM', P .. 'active', id)
    redis.call('ZADD', P .. 'finished', time_s, id)
  end
end
return {'job', redis.call('HGETALL', P .. 'job:' .. id)}
"""
)

SET_SEGMENTS = (
    _PRELUDE
    + """
local id, segments = ARGV[1], cjson.decode(ARGV[2])
local state = state_of(id)
if not state then return 'unknown' end
if not STATES_OF_KIND.plan[state] then return 'refused' end
lay_out(id, segments)
return 'set'
"""
)

ACQUIRE = (
    _PRELUDE
    + """
local id, step, owner = ARGV[1], ARGV[2], ARGV[3]
local lease_s, attempts_max = tonumber(ARGV[4]), tonumber(ARGV[5])
local time_s = now()
if not may_run(id, step, state_of(id)) or is_held(id, step, time_s) then return {'no'} end
local attempts = tonumber(get(id, step, 'attempts') or 0)
if attempts >= attempts_max then return {'too_many', attempts} end
local expires_at = text(time_s + lease_s)
local fence = redis.call('HINCRBY', P .. 'steps:' .. id, step .. '|fence', 1)
set(id, step, 'owner', owner)
set(id, step, 'expires_at', expires_at)
set(id, step, 'attempts', attempts + 1)
set(id, step, 'queued_at', '')
return {'lease', fence, expires_at, attempts + 1}
"""
)

RENEW = (
    _PRELUDE
    + """
local id, step, owner, fence = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local lease_s, frames_done = tonumber(ARGV[5]), tonumber(ARGV[6])
local state = state_of(id)
if not state or TERMINAL[state] then return 0 end
if not is_newest(id, step, owner, fence) or get(id, step, 'done') then return 0 end
set(id, step, 'expires_at', text(now() + lease_s))
move_progress(id, step, frames_done)
return 1
"""
)

RELEASE = (
    _PRELUDE
    + """
local id, step, owner, fence = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if not is_newest(id, step, owner, fence) or get(id, step, 'done') then return end
set(id, step, 'owner', '')
set(id, step, 'expires_at', '0')
set(id, step, 'queued_at', '')
redis.call('HINCRBY', P .. 'steps:' .. id, step .. '|attempts', -1)
"""
)

FINISH = (
    _PRELUDE
    + """
local id, step, owner, fence, part_key, state_key = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if not is_newest(id, step, owner, fence) then return 0 end
if get(id, step, 'done') then return 1 end
if ENDED_BADLY[state_of(id)] then return 0 end
mark_done(id, step, part_key, state_key)
set(id, step, 'seconds', ARGV[7])
return 1
"""
)

# Returns step, time last queued, step, time last queued ...
WAITING = (
    _PRELUDE
    + """
local id = ARGV[1]
local state, time_s, waiting = state_of(id), now(), {}
for _, step in ipairs(redis.call('SMEMBERS', P .. 'ready:' .. id)) do
  if may_run(id, step, state) and not is_held(id, step, time_s) then
    table.insert(waiting, step)
    table.insert(waiting, get(id, step, 'queued_at') or '')
  end
end
return waiting
"""
)

MARK_QUEUED = (
    _PRELUDE
    + """
local id, step = ARGV[1], ARGV[2]
if get(id, step, 'fence') then set(id, step, 'queued_at', text(now())) end
"""
)
