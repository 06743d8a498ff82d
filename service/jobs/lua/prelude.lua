-- Before every script. P, STATES_OF_KIND, UNFINISHED, TERMINAL and ENTERED_AT come from redis_scripts.py.

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

local function is_picture(id) return redis.call('HGET', P .. 'job:' .. id, 'kind') == '"image"' end

-- Runnable but for a lease: its predecessors are done, it is not, and the job is in the right state.
local function may_run(id, step, state)
  local states = STATES_OF_KIND[kind_of(step)]
  if step == 'plan' and is_picture(id) then states = UNFINISHED end -- it goes on to the end
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

local function field_of(id, name)
  local raw = redis.call('HGET', P .. 'job:' .. id, name)
  local value = raw and cjson.decode(raw)
  if value == cjson.null then return false end
  return value
end

local function owned_by(owner) return P .. 'owned:' .. owner end

local function index_owner(id)
  local owner = field_of(id, 'owner')
  if owner then redis.call('ZADD', owned_by(owner), 0, id) end
end

-- time_s: number
local function index_end(id, time_s)
  redis.call('ZADD', P .. 'finished', text(time_s), id)
  local handling = field_of(id, 'handling') or {}
  local ttl, webhook = handling.ttl, handling.webhook
  if ttl and ttl ~= cjson.null then redis.call('ZADD', P .. 'brief', text(time_s + ttl), id) end
  if webhook and webhook ~= cjson.null then redis.call('ZADD', P .. 'hooks', text(time_s), id) end
end

-- fields: {name, JSON, name, JSON ...}
local function insert(id, created_at, updated_at, digest, fence_floor, fields)
  redis.call('HSET', P .. 'job:' .. id, '_digest', digest, '_fence_floor', fence_floor,
    '_segments_total', 0, '_segments_done', 0, unpack(fields))
  redis.call('ZADD', P .. 'jobs', 0, id)
  index_owner(id)
  local state = state_of(id)
  redis.call('HINCRBY', P .. 'counts', state, 1)
  if TERMINAL[state] then
    index_end(id, tonumber(updated_at))
    return
  end
  redis.call('ZADD', P .. 'active', created_at, id)
  add_step(id, 'plan')
  if is_picture(id) then set(id, 'plan', 'frame_count', 1) end
  add_step(id, 'assemble')
  redis.call('SADD', P .. 'ready:' .. id, 'plan')
end

-- fields: {name, JSON, name, JSON ...}
local function move(id, state, target, fields)
  local time_s = now()
  if #fields > 0 then redis.call('HSET', P .. 'job:' .. id, unpack(fields)) end
  redis.call('HSET', P .. 'job:' .. id, 'updated_at', text(time_s), 'state', cjson.encode(target))
  local entered = ENTERED_AT[target]
  if entered and not field_of(id, entered) then redis.call('HSET', P .. 'job:' .. id, entered, text(time_s)) end
  if target == state then return end
  redis.call('HINCRBY', P .. 'counts', state, -1)
  redis.call('HINCRBY', P .. 'counts', target, 1)
  if TERMINAL[target] then
    redis.call('ZREM', P .. 'active', id)
    index_end(id, time_s)
    redis.call('DEL', P .. 'steps:' .. id, P .. 'ready:' .. id)
  end
end

-- A key belongs to the job that came first, also when a later one's manifest is found.
local function remember_key(id, key)
  if key == '' or redis.call('EXISTS', P .. 'key:' .. key) == 1 then return end
  redis.call('SET', P .. 'key:' .. key, id)
  redis.call('HSET', P .. 'job:' .. id, '_key', key)
end
