-- What wrk sends, and its figures as one line of JSON. Arguments: METHOD same|distinct FILE WITH THE BODY, then headers as "Name: value";
-- or METHOD turn FILE, which holds whole requests, each behind a line with its length
local PLACE = "0000000000"

function init(args)
   wrk.method = args[1]
   local file = assert(io.open(args[3], "rb"))
   if args[2] == "turn" then
      take_turns(file)
      return
   end
   local body = file:read("*a")
   file:close()
   if #body > 0 then
      wrk.body = body
   end
   for place = 4, #args do
      local name, value = args[place]:match("^([^:]+): (.*)$")
      wrk.headers[name] = value
   end
   if args[2] == "distinct" then
      number_heads()
   end
end

-- Send the requests of a file one after the other, and again from the first.
function take_turns(file)
   local requests, number = {}, 0
   local length = file:read("*n")
   while length do
      file:read(1)
      requests[#requests + 1] = file:read(length)
      length = file:read("*n")
   end
   file:close()
   request = function()
      number = number % #requests + 1
      return requests[number]
   end
end

-- Give each head a request ID of its own, of always ten digits.
function number_heads()
   wrk.headers["X-Request-Id"] = "request-" .. PLACE
   local whole = wrk.format()
   local first, last = whole:find("request-" .. PLACE, 1, true)
   local before, after = whole:sub(1, last - #PLACE), whole:sub(last + 1)
   local number = 0
   request = function()
      number = number + 1
      return before .. string.format("%010d", number) .. after
   end
end

function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      '\n{"requests":%d,"seconds":%.6f,"p50":%.6f,"p99":%.6f,"slowest":%.6f,"refused":%d,"broken":%d}\n',
      summary.requests, summary.duration / 1e6,
      latency:percentile(50) / 1e6, latency:percentile(99) / 1e6, latency.max / 1e6,
      errors.status, errors.connect + errors.read + errors.write))
end
