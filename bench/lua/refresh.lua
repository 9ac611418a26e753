-- One refresh per session: the tokens come from the file that the first argument names, a line each. A third argument
-- is what it is in info.lua.
local tokens = {}
local next_token = 0

function init(args)
  for line in io.lines(args[1]) do tokens[#tokens + 1] = line end
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Api-Key"] = args[2]
  if args[3] then
    function delay() return math.floor(-math.log(1 - math.random()) * args[3] + 0.5) end
  end
end

function request()
  next_token = next_token + 1
  if next_token > #tokens then wrk.thread:stop() end
  return wrk.format(nil, nil, nil, '{"refresh_token":"' .. (tokens[next_token] or "") .. '"}')
end

dofile("bench/lua/report.lua")
