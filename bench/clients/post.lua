-- wrk: POST the files of a folder in turn and print one JSON line.
-- BENCH_BODIES=folder; BENCH_JSON_LENGTH=n where the files are n bytes of JSON followed by binary tensors.
local requests, headers = {}, { ["Content-Type"] = "application/json" }
if os.getenv("BENCH_JSON_LENGTH") then
  headers = { ["Content-Type"] = "application/octet-stream", ["Inference-Header-Content-Length"] = os.getenv("BENCH_JSON_LENGTH") }
end

function init()
  local list = io.popen('ls "' .. os.getenv("BENCH_BODIES") .. '"/*')
  for name in list:lines() do
    local file = assert(io.open(name, "rb"))
    requests[#requests + 1] = wrk.format("POST", nil, headers, file:read("*all"))
    file:close()
  end
  list:close()
end

local last = 0
function request()
  last = last % #requests + 1
  return requests[last]
end

function done(summary, latency)
  local e, seconds = summary.errors, summary.duration / 1e6
  local format = '{"rps":%.3f,"p50_ms":%.3f,"p90_ms":%.3f,"p99_ms":%.3f,"ok":%d,"not_200":%d,"broken":%d}\n'
  local ok = summary.requests - e.status
  local function ms(percentile) return latency:percentile(percentile) / 1e3 end
  io.write(string.format(format, ok / seconds, ms(50), ms(90), ms(99), ok, e.status, e.connect + e.read + e.write + e.timeout))
end
