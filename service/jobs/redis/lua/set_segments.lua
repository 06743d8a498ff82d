-- takes id, segments: json, runtime
local state = state_of(id)
if not state then return 'unknown' end
if not STATES_OF_KIND.plan[state] then return 'refused' end
lay_out(id, segments, runtime)
return 'set'
