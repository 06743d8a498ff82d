-- takes id, notices: json
if not state_of(id) then return 0 end
local report = cjson.decode(redis.call('HGET', P .. 'job:' .. id, 'report'))
if report == cjson.null then report = {} end
local known, list = {}, {}
for _, some in ipairs({report.notices or {}, notices}) do
  for _, notice in ipairs(some) do
    if not known[notice] then table.insert(list, notice) end
    known[notice] = true
  end
end
if #list == 0 then return 1 end -- an empty table would become an object
report.notices = list
redis.call('HSET', P .. 'job:' .. id, 'report', cjson.encode(report), 'updated_at', text(now()))
return 1
