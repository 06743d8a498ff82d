-- takes id, step, owner, fence, lease_s: number, frames_done: number
local state = state_of(id)
if not state or TERMINAL[state] then return 0 end
if not is_newest(id, step, owner, fence) or get(id, step, 'done') then return 0 end
set(id, step, 'expires_at', text(now() + lease_s))
move_progress(id, step, frames_done)
return 1
