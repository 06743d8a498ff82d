-- takes id
local state = state_of(id)
if not state then return end
index_owner(id)
if not TERMINAL[state] then note_open(id) end
