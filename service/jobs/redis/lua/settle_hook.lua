-- takes id, lease_end: number, due
-- Not what became due anew under the lease, as by the job's next event.
if tonumber(redis.call('ZSCORE', P .. 'hooks', id) or 0) ~= lease_end then return 0 end
if due == '' then redis.call('ZREM', P .. 'hooks', id) else redis.call('ZADD', P .. 'hooks', due, id) end
return 1
