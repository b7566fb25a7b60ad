-- ARGV: name.
call('ZREM', P .. 'alive', ARGV[1])
return call('HDEL', P .. 'runners', ARGV[1])
