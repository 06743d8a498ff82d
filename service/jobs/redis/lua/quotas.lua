-- Before every script, after prelude.lua: what owners used. quotas.py tells the rules.

local DAY_S, MINUTE_S = 86400, 60
local LIMITED = {'open_jobs', 'bytes_per_day', 'megapixels_per_day', 'samples_per_day'}

local function open_of(owner) return P .. 'open:' .. owner end

local function used_on(owner, time_s) return P .. 'used:' .. owner .. ':' .. math.floor(time_s / DAY_S) end

local function used_of(owner, what, time_s)
  if what == 'open_jobs' then return redis.call('SCARD', open_of(owner)) end
  return tonumber(redis.call('HGET', used_on(owner, time_s), what) or 0)
end

local function limit_of(quota, what)
  local limit = quota[what]
  if limit == cjson.null then return nil end
  return limit
end

-- What a script answers that finds that so much would be too much, or nil. quota, asked: by names of LIMITED
local function refusal(owner, quota, asked, time_s)
  for _, what in ipairs(LIMITED) do
    local limit, amount = limit_of(quota, what), asked[what] or 0
    local used = used_of(owner, what, time_s)
    if limit and amount > 0 and used + amount > limit then
      return {'limit', what, text(limit), text(used), text(amount), text(DAY_S - time_s % DAY_S)}
    end
  end
end

local function use(owner, what, amount, time_s)
  if amount <= 0 then return end
  local used = used_on(owner, time_s)
  redis.call('HINCRBYFLOAT', used, what, text(amount))
  redis.call('EXPIRE', used, 2 * DAY_S)
end

local function note_open(id)
  local owner = field_of(id, 'owner')
  if owner and purpose_of(id) ~= 'sample' then redis.call('SADD', open_of(owner), id) end
end

local function note_over(id)
  local owner = field_of(id, 'owner')
  if owner then redis.call('SREM', open_of(owner), id) end
end
