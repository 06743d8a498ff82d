-- takes owner, limit: number, count: number
local time_s = now()
local drawn = P .. 'drawn:' .. owner .. ':' .. math.floor(time_s / MINUTE_S)
local before = tonumber(redis.call('GET', drawn) or 0)
local granted = math.max(0, math.min(count, limit - before))
if granted > 0 then
  redis.call('INCRBY', drawn, granted)
  redis.call('EXPIRE', drawn, 2 * MINUTE_S)
end
return {granted, math.max(0, limit - before - granted), text(MINUTE_S - time_s % MINUTE_S)}
