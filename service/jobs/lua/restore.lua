-- From the ninth argument on pairs of field and JSON.
local id, key, digest, created_at, updated_at = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local fence_floor, segments, parts = ARGV[6], cjson.decode(ARGV[7]), cjson.decode(ARGV[8])
if state_of(id) then return 0 end
insert(id, created_at, updated_at, digest, fence_floor, 9)
lay_out(id, segments)
for _, part in ipairs(parts) do mark_done(id, part[1], part[2], part[3]) end
remember_key(id, key)
return 1
