-- takes id, step
if get(id, step, 'fence') then set(id, step, 'queued_at', text(now())) end
