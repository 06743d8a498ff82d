local id, step, owner, fence, part_key, state_key = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if not is_newest(id, step, owner, fence) then return 0 end
if get(id, step, 'done') then return 1 end
if WITHOUT_RESULT[state_of(id)] then return 0 end
mark_done(id, step, part_key, state_key)
set(id, step, 'seconds', ARGV[7])
return 1
