-- ARGV: id, uid, reason. Keeps the start of what can't be read, and forgets the job.
local key = P .. 'job:' .. ARGV[1]
local f = call('HMGET', key, 'report', 'body', 'uid')
local job = load(ARGV[1])
if not job and call('EXISTS', key) == 0 then
  return 0
end
local kind = f[1] and 'report' or 'job'
local head = string.format('%.0f %s %s %s\n', NOW, kind, ARGV[1], ARGV[3])
call('RPUSH', P .. 'dead', head .. (f[1] or f[2] or ''):sub(1, DEAD_BYTES))
call('LTRIM', P .. 'dead', -MOST_DEAD, -1)
if job then
  erase(job)
else
  call('DEL', key)
  unlist(ARGV[2], ARGV[1])
end
tell(ARGV[2])
return 1
