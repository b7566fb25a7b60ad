-- ARGV: id, fence, blobs' names. Says 1 if the job was handed back.
return let_go(ARGV[1], ARGV[2], function(job)
  uncount(job)
  move(job, 'blocked')
  call('HSET', job.key, 'missing', ARGV[3])
  tell(job.uid)
end)
