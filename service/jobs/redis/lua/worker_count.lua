-- takes alive_s: number
return redis.call('ZCOUNT', P .. 'workers', text(now() - alive_s), '+inf')
