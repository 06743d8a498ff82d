local id, step = ARGV[1], ARGV[2]
if get(id, step, 'fence') then set(id, step, 'queued_at', text(now())) end
