-- Says waiting by priority (3), delayed, leased, blocked, reported, dead, age of the oldest, cached bytes, evicted entries.
local answer, oldest = {}, NOW
for i, priority in ipairs(PRIORITIES) do
  local waiting = P .. 'waiting:' .. priority
  answer[i] = call('ZCARD', waiting)
  oldest = math.min(oldest, tonumber(call('ZRANGE', waiting, 0, 0, 'WITHSCORES')[2] or NOW))
end
local cache = call('HMGET', P .. 'cache', 'bytes', 'evicted')
for _, number in ipairs({
  call('ZCARD', P .. 'delayed'), call('ZCARD', P .. 'leases'), call('SCARD', P .. 'blocked'), call('SCARD', P .. 'done'),
  call('LLEN', P .. 'dead'), NOW - oldest, tonumber(cache[1] or 0), tonumber(cache[2] or 0),
}) do
  answer[#answer + 1] = number
end
return answer
