-- ARGV: uid, last judging to cancel. Says how many jobs were found.
local found = 0
for _, job in ipairs(jobs_of(ARGV[1])) do
  if tonumber(job.id:match('^[^/]*/(%d+)/') or 0) <= tonumber(ARGV[2]) then
    found = found + 1
    drop(job)
  end
end
return found
