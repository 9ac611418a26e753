-- One refresh per session: the tokens come from the file that TOKENS names, a line each.
local tokens = {}
local next_token = 0

function init(args)
  for line in io.lines(args[1]) do tokens[#tokens + 1] = line end
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Api-Key"] = args[2]
end

function request()
  next_token = next_token + 1
  if next_token > #tokens then wrk.thread:stop() end
  return wrk.format(nil, nil, nil, '{"refresh_token":"' .. (tokens[next_token] or "") .. '"}')
end

dofile("bench/lua/report.lua")
