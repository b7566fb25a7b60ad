-- ARGV: id, uid, plan's prefix of the id, namespace, name, priority, cost, span, allowed deliveries, first and longest delay,
-- bounds of pool and namespace, body. Says 'queued', 'known', 'pool' or 'namespace'.
local id, uid, plan, namespace = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
for _, job in ipairs(jobs_of(uid)) do
  if job.id:sub(1, #plan) ~= plan then
    drop(job)
  end
end
if load(id) then
  return 'known'
end
local depth = call('ZCARD', P .. 'delayed') + call('SCARD', P .. 'blocked')
for _, priority in ipairs(PRIORITIES) do
  depth = depth + call('ZCARD', P .. 'waiting:' .. priority)
end
if depth >= tonumber(ARGV[12]) then
  return 'pool'
elseif tonumber(call('HGET', P .. 'depth', namespace) or 0) >= tonumber(ARGV[13]) then
  return 'namespace'
end
local job = { id = id, key = P .. 'job:' .. id, uid = uid, namespace = namespace, priority = ARGV[6], queued = tick() }
call('DEL', job.key)
call('HSET', job.key, 'uid', uid, 'namespace', namespace, 'name', ARGV[5], 'priority', ARGV[6], 'cost', ARGV[7],
  'span', ARGV[8], 'allowed', ARGV[9], 'first_delay', ARGV[10], 'longest_delay', ARGV[11], 'body', ARGV[14],
  'queued', job.queued, 'deliveries', 0)
call('SADD', P .. 'jobs:' .. uid, id)
call('HSET', P .. 'subjects', uid, namespace .. '/' .. ARGV[5])
enter(job, 'waiting', NOW)
return 'queued'
