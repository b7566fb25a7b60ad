-- ARGV: id, fence, reason. Says 1 if the job was given up.
return let_go(ARGV[1], ARGV[2], function(job)
  fail(job, ARGV[3])
end)
