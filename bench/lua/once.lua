-- The requests of the file that the first argument names, each once. When they are used up no more is sent, and whoever
-- counts the answers sees it.
dofile("bench/lua/prepared.lua")

local requests = {}
local turn = 0

function init(args) requests = read_requests(args[1]) end

function request()
  turn = turn + 1
  if turn > #requests then wrk.thread:stop() end
  return requests[math.min(turn, #requests)]
end
