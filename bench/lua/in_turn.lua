-- The requests of the file that the first argument names, in turn, again and again.
dofile("bench/lua/prepared.lua")

local requests = {}
local turn = 0

function init(args) requests = read_requests(args[1]) end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end
