-- ARGV: uid, priority. Only ever lowers. A job in a runner's hands keeps it for when it comes back.
for _, job in ipairs(jobs_of(ARGV[1])) do
  if RANK[ARGV[2]] > RANK[job.priority] then
    local waiting = job.state == 'waiting'
    local since = waiting and call('ZSCORE', P .. 'waiting:' .. job.priority, job.id)
    if waiting then
      leave(job)
    end
    job.priority = ARGV[2]
    call('HSET', job.key, 'priority', job.priority)
    if waiting then
      enter(job, 'waiting', since or NOW)
    end
  end
end
return 1
