-- Before every script, after prelude.lua: whose turn it is. turns.py tells the rules, in the same words.

local function first_in_line(id) return redis.call('ZRANGE', P .. 'line:' .. id, 0, 0)[1] end

-- Plan, segments as their frames follow, assemble: the order in which a job's steps stand in line.
local function rank_of(step)
  if step == 'plan' then return -1 end
  return tonumber(string.match(step, '^segment/(%d+)$') or ASSEMBLE_RANK)
end

local function cost_of(id, step) return math.max(1, tonumber(get(id, step, 'frame_count') or 1)) end

local function ring_of(id, step)
  if is_picture(id) then return SMALL end
  if kind_of(step) ~= 'segment' then return purpose_of(id) == 'upscale' and ANY or SMALL end
  return redis.call('HGET', P .. 'job:' .. id, '_runtime') or ANY
end

-- JSON, as it lies in the job: "null" where the service asks for no keys; or FIRST.
local function owner_of(id)
  if purpose_of(id) ~= 'upscale' then return FIRST end
  return redis.call('HGET', P .. 'job:' .. id, 'owner') or 'null'
end

local function spent_by(owner)
  if owner == FIRST then return -1 end
  return tonumber(redis.call('HGET', P .. 'spent', owner) or 0)
end

local function level() return tonumber(redis.call('GET', P .. 'level') or 0) end

local function rings() return redis.call('SMEMBERS', P .. 'rings') end

local function stands_anywhere(owner)
  for _, ring in ipairs(rings()) do
    if redis.call('ZSCORE', P .. 'ring:' .. ring, owner) then return true end
  end
  return false
end

local function set_spent(owner, spent)
  if owner == FIRST then return end
  redis.call('HSET', P .. 'spent', owner, spent)
  for _, ring in ipairs(rings()) do redis.call('ZADD', P .. 'ring:' .. ring, 'XX', spent, owner) end
end

local function take_out(ring, owner, id)
  local jobs = P .. 'ring:' .. ring .. ':' .. owner
  redis.call('ZREM', jobs, id)
  if redis.call('EXISTS', jobs) == 1 then return end
  redis.call('ZREM', P .. 'ring:' .. ring, owner)
  if redis.call('EXISTS', P .. 'ring:' .. ring) == 0 then redis.call('SREM', P .. 'rings', ring) end
end

local function leave(id)
  local ring = redis.call('HGET', P .. 'job:' .. id, '_ring')
  if not ring then return end
  take_out(ring, owner_of(id), id)
  redis.call('HDEL', P .. 'job:' .. id, '_ring', '_since')
end

-- Give the job the place that its line asks for; one that has a place in that ring keeps it.
local function stand(id)
  local step = first_in_line(id)
  if not step then return leave(id) end
  local ring, owner = ring_of(id, step), owner_of(id)
  if redis.call('HGET', P .. 'job:' .. id, '_ring') == ring then return end
  leave(id)
  local spent = spent_by(owner)
  if owner ~= FIRST and not stands_anywhere(owner) and spent < level() then
    spent = level()
    redis.call('HSET', P .. 'spent', owner, spent)
  end
  local time_s = text(now())
  local ticket = owner == FIRST and 0 or spent + cost_of(id, step)
  redis.call('ZADD', P .. 'ring:' .. ring .. ':' .. owner, ticket, id)
  redis.call('ZADD', P .. 'ring:' .. ring, spent, owner)
  redis.call('SADD', P .. 'rings', ring)
  redis.call('HSET', P .. 'job:' .. id, '_ring', ring, '_since', time_s)
  if ring ~= SMALL and ring ~= ANY then redis.call('ZADD', P .. 'heard', 'NX', time_s, ring) end
end

-- Whether the step was put in line; `stand` is to follow.
local function line_up(id, step, state, time_s)
  if redis.call('ZSCORE', P .. 'line:' .. id, step) then return false end
  if not may_run(id, step, state) or is_held(id, step, time_s) then return false end
  redis.call('ZADD', P .. 'line:' .. id, rank_of(step), step)
  return true
end

local function line_up_all(id)
  local state, time_s, added = state_of(id), now(), 0
  for _, step in ipairs(redis.call('SMEMBERS', P .. 'ready:' .. id)) do
    if line_up(id, step, state, time_s) then added = added + 1 end
  end
  stand(id)
  return added
end

local function is_absent(runtime, time_s)
  return tonumber(redis.call('ZSCORE', P .. 'heard', runtime) or time_s) < time_s - ABSENT_S
end

-- The rings of a worker that has these runtimes, and those of which no worker was heard; null: pictures only.
local function rings_of(runtimes, time_s)
  if runtimes == cjson.null then return {SMALL} end
  local reach, has = {SMALL, ANY}, {[SMALL] = true, [ANY] = true}
  for _, runtime in ipairs(runtimes) do
    table.insert(reach, runtime)
    has[runtime] = true
  end
  for _, ring in ipairs(rings()) do
    if not has[ring] and is_absent(ring, time_s) then table.insert(reach, ring) end
  end
  return reach
end

local function is_before(one, other)
  for place = 1, 4 do
    if one[place] ~= other[place] then return one[place] < other[place] end
  end
  return false
end

-- {spent, owner, ticket, id, ring} of the job whose turn it is, or nil.
local function next_turn(reach)
  local first
  for _, ring in ipairs(reach) do
    local owner = redis.call('ZRANGE', P .. 'ring:' .. ring, 0, 0, 'WITHSCORES')
    if owner[1] then
      local job = redis.call('ZRANGE', P .. 'ring:' .. ring .. ':' .. owner[1], 0, 0, 'WITHSCORES')
      local turn = {tonumber(owner[2]), owner[1], tonumber(job[2]), job[1], ring}
      if not first or is_before(turn, first) then first = turn end
    end
  end
  return first
end

-- A lease of a step that nobody holds; what it costs is its owner's, and its job goes to the end of the line.
local function begin(id, step, holder, lease_s)
  local attempts = tonumber(get(id, step, 'attempts') or 0) + 1
  local expires_at = text(now() + lease_s)
  local fence = redis.call('HINCRBY', P .. 'steps:' .. id, step .. '|fence', 1)
  set(id, step, 'owner', holder)
  set(id, step, 'expires_at', expires_at)
  set(id, step, 'attempts', attempts)
  redis.call('ZREM', P .. 'line:' .. id, step)
  leave(id)
  local owner = owner_of(id)
  set_spent(owner, spent_by(owner) + cost_of(id, step))
  stand(id)
  return {'lease', fence, expires_at, attempts, id, step}
end

local function lease_of(id, step)
  return {'lease', tonumber(get(id, step, 'fence')), get(id, step, 'expires_at'),
    tonumber(get(id, step, 'attempts')), id, step}
end
