-- For the waves of an Application that holds Applications: one is done when its last sync went through. Not when all in
-- it is Healthy: a role that a team misspelled would keep the others from being synced.
local health = { status = "Progressing", message = "Not synced yet." }
local status = obj.status
if status ~= nil and status.operationState ~= nil then
  health.message = status.operationState.message
  if status.operationState.phase == "Succeeded" then
    health.status = "Healthy"
  end
end
return health
