-- ARGV: how long to believe it, name, status.
call('ZADD', P .. 'alive', NOW + tonumber(ARGV[1]), ARGV[2])
call('HSET', P .. 'runners', ARGV[2], ARGV[3])
return 1
