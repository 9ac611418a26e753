-- How every script ends: one line that bench/load.py reads.
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration,
    errors.status + errors.timeout + errors.read + errors.write + errors.connect,
    latency:percentile(50), latency:percentile(99), latency.max))
end
