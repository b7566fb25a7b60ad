-- Says the statuses of runners that are alive. Those that are not are forgotten, at most 1000 at a time.
for _, name in ipairs(call('ZRANGE', P .. 'alive', '-inf', NOW, 'BYSCORE', 'LIMIT', 0, 1000)) do
  call('ZREM', P .. 'alive', name)
  call('HDEL', P .. 'runners', name)
end
local answer = {}
for _, name in ipairs(call('ZRANGE', P .. 'alive', string.format('(%.0f', NOW), '+inf', 'BYSCORE')) do
  answer[#answer + 1] = call('HGET', P .. 'runners', name) or nil
end
return answer
