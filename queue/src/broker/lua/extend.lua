-- ARGV: length of the lease, then id, fence and phase of each. Says 'held', 'cancelled' or 'lost' of each.
local answers = {}
for i = 2, #ARGV, 3 do
  local job = held(ARGV[i], ARGV[i + 1])
  if job then
    call('ZADD', P .. 'leases', NOW + tonumber(ARGV[1]), job.id)
    call('HSET', job.key, 'phase', ARGV[i + 2])
  end
  answers[#answers + 1] = not job and 'lost' or job.state == 'leased' and 'held' or 'cancelled'
end
return answers
