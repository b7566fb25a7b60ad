-- ARGV: most cached entries to remove. Says 'used' if a Submission has jobs here or a runner is alive, 'more' if there is more
-- to remove, else 'empty'.
if call('EXISTS', P .. 'subjects') == 1 or call('EXISTS', P .. 'leases') == 1 then
  return 'used'
end
if call('ZRANGE', P .. 'alive', string.format('(%.0f', NOW), '+inf', 'BYSCORE', 'LIMIT', 0, 1)[1] then
  return 'used'
end
local entries = call('ZRANGE', P .. 'cache:value', 0, tonumber(ARGV[1]) - 1)
for _, member in ipairs(entries) do
  uncache(member)
end
if entries[1] then
  return 'more'
end
for _, priority in ipairs(PRIORITIES) do
  call('UNLINK', P .. 'turn:' .. priority, P .. 'tags:' .. priority, P .. 'waiting:' .. priority)
end
for _, name in ipairs({
  'fair', 'delayed', 'blocked', 'done', 'depth', 'wake', 'news', 'dead', 'cache', 'cache:entries', 'cache:value', 'runners',
  'alive', 'languages',
}) do
  call('UNLINK', P .. name)
end
return 'empty'
