-- ARGV: entries to remove.
for _, member in ipairs(ARGV) do
  uncache(member)
end
return 1
