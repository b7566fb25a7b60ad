-- What every function on jobs shares: the states of a job and the sets that go with each.
-- KEYS[1] is the pool's prefix, and all keys begin with it. Numbers are whole and below 2^53; `..` would round them,
-- so they go to Redis as arguments of their own.
local P = KEYS[1]
local call = redis.call
local PRIORITIES = { 'contest', 'normal', 'rejudge' }
local RANK = { contest = 1, normal = 2, rejudge = 3 }
-- What a unit of work costs a priority: the inverse of its weight (64, 8, 1).
local PRICE = { contest = 1, normal = 8, rejudge = 64 }
local STATES = { waiting = true, delayed = true, blocked = true, leased = true, cancelling = true, reported = true, lost = true }
local MOST_NEWS = 100000
local MOST_WAKES = 1024
local MOST_DEAD = 1000
local DEAD_BYTES = 65536

-- Grows with every call, also within one microsecond, and over a loss of all data: a place in the queue, a fence token.
local function tick()
  local last = math.max(tonumber(call('HGET', P .. 'fair', 'tick') or 0) + 1, NOW)
  call('HSET', P .. 'fair', 'tick', last)
  return last
end

-- What the rules need of a job; nothing if it is unknown, or if another hand has made it unreadable.
local function load(id)
  local key = P .. 'job:' .. id
  local f = call('HMGET', key, 'state', 'uid', 'namespace', 'priority', 'cost', 'queued', 'fence', 'deliveries', 'allowed')
  if not STATES[f[1]] or not f[2] or not f[3] or not RANK[f[4]] then
    return nil
  end
  return {
    id = id, key = key, state = f[1], uid = f[2], namespace = f[3], priority = f[4], cost = tonumber(f[5]) or 1,
    queued = tonumber(f[6]) or 0, fence = f[7], deliveries = tonumber(f[8]) or 0, allowed = tonumber(f[9]) or 1,
  }
end

-- Tells the operators that something became of a Submission's job. Over the bound, their audit finds it.
local function tell(uid)
  if call('LLEN', P .. 'news') < MOST_NEWS then
    call('RPUSH', P .. 'news', uid)
  end
end

local function deepen(namespace, by)
  if call('HINCRBY', P .. 'depth', namespace, by) <= 0 then
    call('HDEL', P .. 'depth', namespace)
  end
end

-- A namespace that had nothing ready takes its turn after what it used already, and not before now. The same goes for a priority.
local function activate(job)
  local turn, tags = P .. 'turn:' .. job.priority, P .. 'tags:' .. job.priority
  if call('ZSCORE', turn, job.namespace) then
    return
  end
  local f = call('HMGET', P .. 'fair', 'floor', 'tag:' .. job.priority, 'floor:' .. job.priority)
  if call('EXISTS', turn) == 0 then
    call('HSET', P .. 'fair', 'tag:' .. job.priority, math.max(tonumber(f[1] or 0), tonumber(f[2] or 0)))
  end
  local used = tonumber(call('ZSCORE', tags, job.namespace) or 0)
  call('ZREM', tags, job.namespace)
  call('ZADD', turn, math.max(used, tonumber(f[3] or 0)), job.namespace)
end

-- A namespace that has nothing ready any more: what it used is remembered while it counts.
local function deactivate(priority, namespace)
  local turn = P .. 'turn:' .. priority
  local tag = tonumber(call('ZSCORE', turn, namespace) or 0)
  call('ZREM', turn, namespace)
  if tag > tonumber(call('HGET', P .. 'fair', 'floor:' .. priority) or 0) then
    call('ZADD', P .. 'tags:' .. priority, tag, namespace)
  end
end

local function unready(priority, namespace, id)
  local ready = P .. 'ready:' .. priority .. ':' .. namespace
  call('ZREM', ready, id)
  call('ZREM', P .. 'waiting:' .. priority, id)
  if call('EXISTS', ready) == 0 then
    deactivate(priority, namespace)
  end
end

-- Takes the job out of the sets of its state.
local function leave(job)
  if job.state == 'waiting' then
    unready(job.priority, job.namespace, job.id)
    deepen(job.namespace, -1)
  elseif job.state == 'delayed' then
    call('ZREM', P .. 'delayed', job.id)
    deepen(job.namespace, -1)
  elseif job.state == 'blocked' then
    call('SREM', P .. 'blocked', job.id)
    call('HDEL', job.key, 'missing')
    deepen(job.namespace, -1)
  elseif job.state == 'leased' or job.state == 'cancelling' then
    call('ZREM', P .. 'leases', job.id)
    call('HDEL', job.key, 'phase', 'token')
  else
    call('SREM', P .. 'done', job.id)
  end
end

-- Puts the job into the sets of its new state. `at` is when it was ready, is due, or its lease's deadline.
local function enter(job, state, at)
  job.state = state
  call('HSET', job.key, 'state', state)
  if state == 'waiting' then
    activate(job)
    call('ZADD', P .. 'ready:' .. job.priority .. ':' .. job.namespace, job.queued, job.id)
    call('ZADD', P .. 'waiting:' .. job.priority, at, job.id)
    deepen(job.namespace, 1)
    if call('LLEN', P .. 'wake') < MOST_WAKES then
      call('RPUSH', P .. 'wake', '1')
    end
  elseif state == 'delayed' then
    call('ZADD', P .. 'delayed', at, job.id)
    deepen(job.namespace, 1)
  elseif state == 'blocked' then
    call('SADD', P .. 'blocked', job.id)
    deepen(job.namespace, 1)
  elseif state == 'leased' then
    call('ZADD', P .. 'leases', at, job.id)
  else
    call('SADD', P .. 'done', job.id)
    call('HDEL', job.key, 'body')
  end
end

local function move(job, state, at)
  leave(job)
  enter(job, state, at)
end

local function unlist(uid, id)
  local jobs = P .. 'jobs:' .. uid
  call('SREM', jobs, id)
  if call('EXISTS', jobs) == 0 then
    call('HDEL', P .. 'subjects', uid)
  end
end

local function erase(job)
  leave(job)
  call('DEL', job.key)
  unlist(job.uid, job.id)
end

-- A job that nobody wants: gone, or its runner is told at the next heartbeat.
local function drop(job)
  if job.state == 'leased' then
    job.state = 'cancelling'
    call('HSET', job.key, 'state', 'cancelling')
  elseif job.state ~= 'cancelling' then
    erase(job)
  end
end

-- The jobs of a Submission. An id whose job is gone, which our functions leave nowhere, is forgotten.
local function jobs_of(uid)
  local jobs = {}
  for _, id in ipairs(call('SMEMBERS', P .. 'jobs:' .. uid)) do
    local job = load(id)
    if job then
      jobs[#jobs + 1] = job
    else
      call('DEL', P .. 'job:' .. id)
      unlist(uid, id)
    end
  end
  return jobs
end

-- A delivery that came to nothing: again after a growing delay, or lost for good. Says whether it is lost.
local function fail(job, reason)
  if job.deliveries >= job.allowed then
    move(job, 'lost')
    call('HSET', job.key, 'reason', reason)
    tell(job.uid)
    return true
  end
  local f = call('HMGET', job.key, 'first_delay', 'longest_delay')
  local doubled = tonumber(f[1] or 0) * 2 ^ math.min(job.deliveries - 1, 40)
  move(job, 'delayed', NOW + math.min(doubled, tonumber(f[2] or 0)))
  return false
end

-- Takes back at most `most` leases that ran out. Says how many, and how many jobs were lost by it.
local function expire(most)
  local expired, lost = 0, 0
  for _, id in ipairs(call('ZRANGE', P .. 'leases', '-inf', NOW, 'BYSCORE', 'LIMIT', 0, most)) do
    expired = expired + 1
    local job = load(id)
    call('ZREM', P .. 'leases', id)
    if not job then
      call('DEL', P .. 'job:' .. id)
    elseif job.state == 'cancelling' then
      erase(job)
    elseif fail(job, 'the runner did not extend its lease in time') then
      lost = lost + 1
    end
  end
  return expired, lost
end

-- Makes at most `most` delayed jobs ready that are due. Says how many.
local function promote(most)
  local due = call('ZRANGE', P .. 'delayed', '-inf', NOW, 'BYSCORE', 'LIMIT', 0, most, 'WITHSCORES')
  for i = 1, #due, 2 do
    local job = load(due[i])
    if job then
      move(job, 'waiting', due[i + 1])
    else
      call('ZREM', P .. 'delayed', due[i])
    end
  end
  return #due / 2
end

-- The job if `fence` is that of its last delivery and it is still in a runner's hands.
local function held(id, fence)
  local job = load(id)
  if job and job.fence == fence and (job.state == 'leased' or job.state == 'cancelling') then
    return job
  end
  return nil, job
end

-- Gives a job up in good order, by `release`. Said twice, it is done once.
local function let_go(id, fence, release)
  local job, other = held(id, fence)
  if not job then
    local again = other and call('HGET', other.key, 'released') == fence
    return again and 1 or 0
  end
  if job.state == 'cancelling' then
    erase(job)
    return 1
  end
  call('HSET', job.key, 'released', fence)
  release(job)
  return 1
end

-- The delivery that is being given up does not count.
local function uncount(job)
  job.deliveries = math.max(job.deliveries - 1, 0)
  call('HSET', job.key, 'deliveries', job.deliveries)
end
