-- Token info: distinct access tokens in turn, from the file that the first argument names.
local requests = {}
local turn = 0

function init(args)
  wrk.headers["Api-Key"] = args[2]
  for line in io.lines(args[1]) do
    wrk.headers["Authorization"] = "Bearer " .. line
    requests[#requests + 1] = wrk.format("GET")
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

dofile("bench/lua/report.lua")
