-- For tests alone: the time that a test has written.
local time = redis.call('TIME')
local NOW = tonumber(redis.call('GET', KEYS[1] .. 'now') or time[1] * 1000000 + time[2])
