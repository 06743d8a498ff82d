-- takes id, step
-- Not a step that is held: asked for again, this may come after the message it told of.
local time_s = now()
if get(id, step, 'fence') and not is_held(id, step, time_s) then set(id, step, 'queued_at', text(time_s)) end
