-- Requests that stand in a file: method, path, body, and then headers as "Name: value", with tabs between.
function read_requests(name)
  local requests = {}
  for line in io.lines(name) do
    local fields = {}
    for field in (line .. "\t"):gmatch("([^\t]*)\t") do fields[#fields + 1] = field end
    local headers = {}
    for at = 4, #fields do
      local header, value = fields[at]:match("(%S+): (.*)")
      headers[header] = value
    end
    requests[#requests + 1] = wrk.format(fields[1], fields[2], headers, fields[3])
  end
  return requests
end

dofile("bench/lua/report.lua")
