-- Before every script, after turns.lua: how a job moves on.

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

local function make_ready(id, step)
  redis.call('SADD', P .. 'ready:' .. id, step)
  line_up(id, step, state_of(id), now())
end

local function mark_done(id, step, part_key, state_key)
  set(id, step, 'done', '1')
  set(id, step, 'part_key', part_key)
  set(id, step, 'state_key', state_key)
  redis.call('SREM', P .. 'ready:' .. id, step)
  redis.call('ZREM', P .. 'line:' .. id, step) -- it may have been in line again, its lease being over
  if kind_of(step) ~= 'segment' then return end
  move_progress(id, step, tonumber(get(id, step, 'frame_count')))
  local successor = get(id, step, 'successor')
  if successor and not get(id, successor, 'done') then make_ready(id, successor) end
  local done = redis.call('HINCRBY', P .. 'job:' .. id, '_segments_done', 1)
  if done == tonumber(redis.call('HGET', P .. 'job:' .. id, '_segments_total')) then
    make_ready(id, 'assemble')
  end
end

-- segments: a list of {index, frame_count, index of the one it follows or -1}; they can run once the job does
local function lay_out(id, segments, runtime)
  if runtime ~= '' then redis.call('HSET', P .. 'job:' .. id, '_runtime', runtime) end
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
  note_open(id)
  if state == 'queued' then redis.call('ZADD', P .. 'queued', created_at, id) end
  add_step(id, 'plan')
  if is_picture(id) then set(id, 'plan', 'frame_count', 1) end
  add_step(id, 'assemble')
  make_ready(id, 'plan')
  stand(id)
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
  redis.call('ZREM', P .. 'queued', id)
  redis.call('DEL', P .. 'line:' .. id)
  if TERMINAL[target] then
    leave(id)
    redis.call('ZREM', P .. 'active', id)
    note_over(id)
    index_end(id, time_s)
    redis.call('DEL', P .. 'steps:' .. id, P .. 'ready:' .. id)
  else
    line_up_all(id)
  end
end

-- A key belongs to the job that came first, also when a later one's manifest is found.
local function remember_key(id, key)
  if key == '' or redis.call('EXISTS', P .. 'key:' .. key) == 1 then return end
  redis.call('SET', P .. 'key:' .. key, id)
  redis.call('HSET', P .. 'job:' .. id, '_key', key)
end
