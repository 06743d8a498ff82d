-- takes id, key, digest, created_at, updated_at, fence_floor, segments: json, parts: json, runtime, fields: json
-- parts: a list of {step, part_key, state_key}
if state_of(id) then return 0 end
insert(id, created_at, updated_at, digest, fence_floor, fields)
lay_out(id, segments, runtime)
for _, part in ipairs(parts) do mark_done(id, part[1], part[2], part[3]) end
line_up_all(id)
remember_key(id, key)
return 1
