-- ARGV: how many of each at most. Says leases that ran out, jobs lost by it, jobs woken.
local expired, lost = expire(tonumber(ARGV[1]))
return { expired, lost, promote(tonumber(ARGV[1])) }
