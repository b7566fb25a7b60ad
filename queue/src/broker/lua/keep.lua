-- ARGV: most bytes of the cache, then entry, cost and content of each. Each by itself fits. Says 1.
for i = 2, #ARGV, 3 do
  local member, cost, size = ARGV[i], tonumber(ARGV[i + 1]), #ARGV[i + 2]
  uncache(member)
  evict(size, tonumber(ARGV[1]))
  call('SET', P .. member, ARGV[i + 2])
  call('HSET', P .. 'cache:entries', member, string.format('%.0f %.0f', size, cost))
  call('HINCRBY', P .. 'cache', 'bytes', size)
  value(member, size, cost)
end
return 1
