-- takes id, step, owner, fence, part_key, state_key, seconds
if not is_newest(id, step, owner, fence) then return 0 end
if get(id, step, 'done') then return 1 end
mark_done(id, step, part_key, state_key)
set(id, step, 'seconds', seconds)
stand(id)
return 1
