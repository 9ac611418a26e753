-- Log in as the users of the file that the first argument names, in turn: "username password" a line.
local bodies = {}
local turn = 0

function init(args)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Api-Key"] = args[2]
  for line in io.lines(args[1]) do
    local name, password = line:match("(%S+) (%S+)")
    bodies[#bodies + 1] = wrk.format(nil, nil, nil, '{"username":"' .. name .. '","password":"' .. password .. '"}')
  end
end

function request()
  turn = turn % #bodies + 1
  return bodies[turn]
end

dofile("bench/lua/report.lua")
