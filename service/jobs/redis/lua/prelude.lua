-- Before every script: what a job and its steps are. The names in capitals come from scripts.py.

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

-- upscale, sample or estimate; of a job, it never changes
local function purpose_of(id)
  local job = redis.call('HMGET', P .. 'job:' .. id, 'is_estimate', 'options')
  if job[1] == 'true' then return 'estimate' end
  return job[2] and cjson.decode(job[2]).sample == true and 'sample' or 'upscale'
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
