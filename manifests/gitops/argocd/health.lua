-- Argo CD's health of a DatabaseMigration: argocd-cm-patch.yaml beside this file brings it in.
local health = {status = "Progressing", message = "the operator has not looked at it yet"}
local status = obj.status
if status == nil or status.conditions == nil or status.observedGeneration ~= obj.metadata.generation then
  return health
end
local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end
local ready = conditions["Ready"]
if ready == nil then
  return health
end
health.message = ready.reason .. ": " .. (ready.message or "")
if ready.status == "True" then
  health.status = "Healthy"
elseif conditions["Stalled"] ~= nil and conditions["Stalled"].status == "True" then
  health.status = "Degraded"
elseif conditions["Reconciling"] ~= nil and conditions["Reconciling"].status == "True" then
  health.status = "Progressing"
else
  health.status = "Suspended" -- a person or a clock is waited for
end
return health
