-- takes name, measured, kept: number
local pace = P .. 'pace:' .. name
redis.call('ZADD', pace, text(now()), measured)
redis.call('ZREMRANGEBYRANK', pace, 0, -kept - 1)
