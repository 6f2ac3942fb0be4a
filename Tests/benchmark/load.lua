-- What wrk sends, and its figures as one line of JSON. Arguments: METHOD AUTHORIZATION [FILE WITH THE BODY]
function init(args)
   wrk.method = args[1]
   wrk.headers["Authorization"] = args[2]
   if args[3] then
      local file = assert(io.open(args[3], "rb"))
      wrk.body = file:read("*a")
      file:close()
      wrk.headers["Content-Type"] = "application/json"
   end
end

function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      '\n{"requests":%d,"seconds":%.6f,"p50":%.6f,"p99":%.6f,"max":%.6f,"refused":%d,"broken":%d}\n',
      summary.requests, summary.duration / 1e6,
      latency:percentile(50) / 1e6, latency:percentile(99) / 1e6, latency.max / 1e6,
      errors.status, errors.connect + errors.read + errors.write))
end
