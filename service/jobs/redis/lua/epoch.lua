-- takes fresh
redis.call('SET', P .. 'epoch', fresh, 'NX')
return redis.call('GET', P .. 'epoch')
