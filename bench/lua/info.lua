-- Token info: distinct access tokens in turn, from the file that the first argument names. With a third argument each
-- connection pauses for so many milliseconds on average, as clients do that know nothing of one another.
local requests = {}
local turn = 0

function init(args)
  wrk.headers["Api-Key"] = args[2]
  for line in io.lines(args[1]) do
    wrk.headers["Authorization"] = "Bearer " .. line
    requests[#requests + 1] = wrk.format("GET")
  end
  if args[3] then
    function delay() return math.floor(-math.log(1 - math.random()) * args[3] + 0.5) end
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

dofile("bench/lua/report.lua")
