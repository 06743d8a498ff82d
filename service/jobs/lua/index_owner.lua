-- takes id
if state_of(id) then index_owner(id) end
