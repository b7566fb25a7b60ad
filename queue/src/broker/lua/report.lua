-- ARGV: id, fence, report. Says 1 if it is the job's report, now or since before.
local job, other = held(ARGV[1], ARGV[2])
if not job then
  local again = other and other.state == 'reported' and other.fence == ARGV[2]
  return again and 1 or 0
elseif job.state == 'cancelling' then
  erase(job)
  return 0
end
call('HSET', job.key, 'report', ARGV[3])
move(job, 'reported')
tell(job.uid)
return 1
