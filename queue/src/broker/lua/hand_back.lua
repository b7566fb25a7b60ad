-- ARGV: id, fence. Says 1 if the job was handed back.
return let_go(ARGV[1], ARGV[2], function(job)
  uncount(job)
  move(job, 'waiting', NOW)
end)
