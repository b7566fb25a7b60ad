-- Redis' own time in microseconds since 1970. Exact: below 2^53 for the next 200 years.
local time = redis.call('TIME')
local NOW = time[1] * 1000000 + time[2]
