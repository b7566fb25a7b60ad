-- ARGV: a token for this very call, length of the lease, how many leases and delays to look at first.
-- Says body, fence, deliveries, time waited and id; nothing if nothing is ready.
local TRIES = 100
local token, lease, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local function delivery(job)
  local f = call('HMGET', job.key, 'body', 'fence', 'deliveries', 'waited')
  return { f[1] or '', f[2], f[3], f[4], job.id }
end

-- The priority, then the namespace, that used least.
local function turn()
  local least, lowest
  for _, priority in ipairs(PRIORITIES) do
    if call('EXISTS', P .. 'turn:' .. priority) == 1 then
      local tag = tonumber(call('HGET', P .. 'fair', 'tag:' .. priority) or 0)
      if not lowest or tag < lowest then
        least, lowest = priority, tag
      end
    end
  end
  local first = least and call('ZRANGE', P .. 'turn:' .. least, 0, 0, 'WITHSCORES')
  return least, lowest, first and first[1], first and tonumber(first[2])
end

-- A delivery is charged when it is made, whatever becomes of it.
local function charge(job, used, tag)
  local turns, tags = P .. 'turn:' .. job.priority, P .. 'tags:' .. job.priority
  call('ZADD', turns, tag + job.cost, job.namespace)
  call('ZREMRANGEBYSCORE', tags, '-inf', tag)
  call('HSET', P .. 'fair', 'floor', used, 'tag:' .. job.priority, used + job.cost * PRICE[job.priority],
    'floor:' .. job.priority, tag)
end

local function deliver(job, waited)
  local fence = string.format('%.0f', tick())
  move(job, 'leased', NOW + lease)
  call('HSET', job.key, 'fence', fence, 'deliveries', job.deliveries + 1, 'token', token, 'waited', waited)
  call('HSETNX', job.key, 'first_taken', NOW)
  call('SET', P .. 'take:' .. token, job.id, 'PX', 30000)
  return delivery(job)
end

-- The answer to this call may have been lost on the way.
local before = call('GET', P .. 'take:' .. token)
local again = before and load(before)
if again and again.state == 'leased' and call('HGET', again.key, 'token') == token then
  return delivery(again)
end

expire(most)
promote(most)
for _ = 1, TRIES do
  local priority, used, namespace, tag = turn()
  if not priority then
    -- What wakes runners now would wake them for nothing.
    call('DEL', P .. 'wake')
    return false
  end
  local id = call('ZRANGE', P .. 'ready:' .. priority .. ':' .. namespace, 0, 0)[1]
  local job = id and load(id)
  if job and job.state == 'waiting' then
    local since = tonumber(call('ZSCORE', P .. 'waiting:' .. priority, id) or NOW)
    charge(job, used, tag)
    return deliver(job, math.max(NOW - since, 0))
  elseif id then
    unready(priority, namespace, id)
    deepen(namespace, -1)
  else
    deactivate(priority, namespace)
  end
end
return false
