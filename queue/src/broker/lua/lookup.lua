-- ARGV: '1' to add reports, then uids. Says of each uid its jobs, each a list of fields.
local answers = {}
for i = 2, #ARGV do
  local records = {}
  for _, job in ipairs(jobs_of(ARGV[i])) do
    local f = call('HMGET', job.key, 'state', 'span', 'phase', 'deliveries', 'queued', 'first_taken', 'missing', 'reason')
    table.insert(f, 1, job.id)
    f[10] = ARGV[1] == '1' and call('HGET', job.key, 'report')
    records[#records + 1] = f
  end
  answers[#answers + 1] = records
end
return answers
