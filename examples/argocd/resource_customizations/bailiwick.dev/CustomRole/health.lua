-- The health of an object of Bailiwick. One script serves all seven kinds, because they share the conditions.
local health = {}
local generation = obj.metadata.generation
local status = obj.status

-- What is said of an older version is no word on this one.
if status == nil or status.conditions == nil or status.observedGeneration ~= generation then
  health.status = "Progressing"
  health.message = "Bailiwick has not looked at this version yet."
  return health
end

local ready = nil
for _, condition in ipairs(status.conditions) do
  if condition.type == "Ready" then
    ready = condition
  end
end

if ready == nil or (ready.observedGeneration ~= nil and ready.observedGeneration ~= generation) then
  health.status = "Progressing"
  health.message = "Bailiwick has not looked at this version yet."
  return health
end

-- These end by themselves.
local pending = { ClaimPending = true, HolderPending = true }

health.message = ready.message
if ready.status == "False" and not pending[ready.reason] then
  health.status = "Degraded"
elseif ready.status ~= "True" then
  health.status = "Progressing"
else
  -- A suspended User too: it is as its manifest says, and the message says so. Argo CD would wait for one that is
  -- `Suspended`, and call the whole Application so.
  health.status = "Healthy"
end
return health
