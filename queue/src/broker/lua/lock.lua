-- ARGV: artifact, holder, milliseconds. Says 1 if the holder has it now.
local key = KEYS[1] .. 'lock:' .. ARGV[1]
local holder = redis.call('GET', key)
if holder and holder ~= ARGV[2] then
  return 0
end
redis.call('SET', key, ARGV[2], 'PX', ARGV[3])
return 1
