-- takes id, count: number
-- Returns steps that were missing in line, kind, since when the job stands there, how many of plan, of segments
-- and of assemble stand in it, and the first ones.
if not state_of(id) then return {} end
local added, line = line_up_all(id), P .. 'line:' .. id
local job = redis.call('HMGET', P .. 'job:' .. id, 'kind', '_since')
local found = {added, cjson.decode(job[1]), job[2] or '', redis.call('ZCOUNT', line, -1, -1),
  redis.call('ZCOUNT', line, 0, '(' .. ASSEMBLE_RANK), redis.call('ZCOUNT', line, ASSEMBLE_RANK, ASSEMBLE_RANK)}
for _, step in ipairs(redis.call('ZRANGE', line, 0, count - 1)) do table.insert(found, step) end
return found
