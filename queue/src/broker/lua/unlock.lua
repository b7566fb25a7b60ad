-- ARGV: artifact, holder. Says 1 if the holder had it.
local key = KEYS[1] .. 'lock:' .. ARGV[1]
if redis.call('GET', key) == ARGV[2] then
  return redis.call('DEL', key)
end
return 0
