-- takes epoch
if redis.call('GET', P .. 'epoch') == epoch then redis.call('SET', P .. 'complete', '1') end
