-- For wrk, by benchmarks/throughput.py. In: a path, in which strftime's codes stand for a random second, and the two
-- seconds between which it lies. Out: a line with requests/s, p99 in ms, and how many answers were not 200.

function init(arguments)
  path = "!" .. arguments[1]
  first = tonumber(arguments[2])
  last = tonumber(arguments[3])
  math.randomseed(1)
end

function request()
  return wrk.format("GET", os.date(path, math.random(first, last)))
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  print(string.format("result %f %f %d", summary.requests / summary.duration * 1e6, latency:percentile(99) / 1e3, failed))
end
