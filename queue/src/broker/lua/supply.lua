-- ARGV: id. The blobs are stored already.
local job = load(ARGV[1])
if job and job.state == 'blocked' then
  move(job, 'waiting', NOW)
end
return 1
