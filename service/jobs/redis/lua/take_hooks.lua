-- takes count: number, lease_s: number
-- An answer that gets lost costs no more than the lease: then they are due again.
local time_s = now()
local lease_end, ids = text(time_s + lease_s), {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'hooks', '-inf', text(time_s), 'LIMIT', 0, count)) do
  redis.call('ZADD', P .. 'hooks', lease_end, id)
  table.insert(ids, id)
end
return {lease_end, ids}
