#include <chrono>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "sallyport/admin/server.hpp"

namespace sallyport::admin {

namespace json = boost::json;

namespace {

double seconds(base::WallClock::duration d) {
  return std::chrono::duration<double>(d).count();
}

json::array listeners(const Status& status) {
  json::array out;
  for (const Status::Listener& l : status.listeners) {
    out.push_back({{"name", l.name},
                   {"protocol", l.protocol},
                   {"addresses", json::array(l.addresses.begin(), l.addresses.end())}});
  }
  return out;
}

// Quantiles of no handshake would look like the worst score.
json::object quantiles(const obs::ScoreQuantiles& q) {
  json::object out{{"handshakes", q.handshakes}};
  if (q.handshakes != 0) {
    out["p5"] = q.p5;
    out["p50"] = q.p50;
    out["p95"] = q.p95;
  }
  return out;
}

json::object minutes(const obs::HealthReport::Minutes& m) {
  return {{"last_minute", quantiles(m.last)}, {"this_minute", quantiles(m.running)}};
}

json::object health(const obs::HealthReport& report) {
  json::object out = minutes(report.all);
  out["minute_began_timestamp_seconds"] = seconds(report.minute_began.time_since_epoch());
  json::object hosts;
  for (const obs::HealthReport::Host& host : report.hosts) hosts[host.name] = minutes(host.minutes);
  out["hosts"] = std::move(hosts);
  return out;
}

}  // namespace

std::string status_json(const Status& status, base::WallTime now) {
  const json::object document{
      {"version", status.version},
      {"started_timestamp_seconds", seconds(status.started.time_since_epoch())},
      {"uptime_seconds", seconds(now - status.started)},
      {"ready", status.ready},
      {"draining", status.draining},
      {"generation", status.generation},
      {"workers", status.workers},
      {"last_reload",
       {{"successful", status.last_reload.successful},
        {"message", status.last_reload.message},
        {"timestamp_seconds", seconds(status.last_reload.at.time_since_epoch())}}},
      {"listeners", listeners(status)},
      {"tls_health", health(status.health)},
  };
  return json::serialize(document) + '\n';
}

}  // namespace sallyport::admin
