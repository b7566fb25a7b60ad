-- The cache of blobs and artifacts. When it is full the least valuable entry goes first: value = clock + cost / size,
-- where the clock is the value of the last one that went, and an entry's value rises again with each use
-- (GreedyDual-Size; Cao and Irani, 1997). An entry is 'blob:HASH' or 'artifact:KEY', and its key is the prefix and that.
local P = KEYS[1]
local call = redis.call

local function entry(member)
  local size, cost = (call('HGET', P .. 'cache:entries', member) or ''):match('^(%d+) (%d+)$')
  return tonumber(size), tonumber(cost)
end

local function value(member, size, cost)
  local clock = tonumber(call('HGET', P .. 'cache', 'clock') or 0)
  call('ZADD', P .. 'cache:value', string.format('%.17g', clock + cost / math.max(size, 1)), member)
end

-- Removes an entry, whether or not its value is still there.
local function uncache(member)
  local size = entry(member)
  call('UNLINK', P .. member)
  call('ZREM', P .. 'cache:value', member)
  if size then
    call('HDEL', P .. 'cache:entries', member)
    call('HINCRBY', P .. 'cache', 'bytes', -size)
  end
end

-- Says whether an entry is there, and lets it stay longer if it is.
local function touch(member)
  local size, cost = entry(member)
  if call('EXISTS', P .. member) == 0 or not size then
    uncache(member)
    return 0
  end
  value(member, size, cost)
  return 1
end

-- Makes room for `size` bytes within `most`.
local function evict(size, most)
  while tonumber(call('HGET', P .. 'cache', 'bytes') or 0) + size > most do
    local least = call('ZRANGE', P .. 'cache:value', 0, 0, 'WITHSCORES')
    if not least[1] then
      return
    end
    call('HSET', P .. 'cache', 'clock', least[2])
    call('HINCRBY', P .. 'cache', 'evicted', 1)
    uncache(least[1])
  end
end
