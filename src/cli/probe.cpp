// `sallyport probe`: what clients of several kinds make of a server, any server, and what to change.
// Control plane: it blocks, one connection after the other, each with its deadline.
#include "sallyport/tls/probe.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <memory>
#include <netdb.h>
#include <stdexcept>
#include <string>

#include "sallyport/net/blocking_socket.hpp"
#include "sallyport/tls/chain.hpp"

#include "commands.hpp"
#include "printable.hpp"
#include "probe_report.hpp"
#include "probe_talk.hpp"

namespace sallyport::cli {

namespace {

using net::BlockingSocket;
using tls::ProbeKind;
using tls::ProbeResult;
using SetPtr = std::shared_ptr<const tls::CertificateSet>;

struct Place {
  std::string host;  // a name or an address, without brackets
  std::string port = "443";
};

std::optional<Place> parse_place(std::string_view text) {
  Place place;
  std::string_view port;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    place.host = text.substr(1, end - 1);
    if (!net::IpAddress::parse(place.host)) return std::nullopt;
    port = text.substr(end + 1);
    if (!port.empty() && !port.starts_with(':')) return std::nullopt;
  } else {
    const std::size_t colon = text.find(':');
    place.host = text.substr(0, colon);
    // An IPv6 address without brackets would leave open where the port begins.
    if (text.find(':', colon == std::string_view::npos ? text.size() : colon + 1) != std::string_view::npos)
      return std::nullopt;
    if (colon != std::string_view::npos) port = text.substr(colon);
  }
  if (!port.empty()) {
    port.remove_prefix(1);
    std::uint16_t number = 0;
    const auto [end, ec] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (ec != std::errc{} || end != port.data() + port.size() || number == 0) return std::nullopt;
    place.port = port;
  }
  if (place.host.empty()) return std::nullopt;
  return place;
}

bool is_address(const std::string& text) {
  return net::IpAddress::parse(text).has_value();
}

// In the resolver's order (RFC 6724). Empty, and why, if there is none.
std::vector<net::Endpoint> addresses_of(const Place& place, std::string& why) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(place.host.c_str(), place.port.c_str(), &hints, &list);
  std::vector<net::Endpoint> found;
  if (error != 0) {
    why = error == EAI_SYSTEM ? std::strerror(errno) : ::gai_strerror(error);
    return found;
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
  for (const addrinfo* one = list; one != nullptr; one = one->ai_next)
    found.push_back(net::Endpoint::from(one->ai_addr));
  return found;
}

std::string seconds_text(base::Milliseconds time) {
  const auto ms = time.count();
  return ms % 1000 == 0 ? std::to_string(ms / 1000) + " s" : std::to_string(ms) + " ms";
}

std::string unreachable_text(BlockingSocket::Status status, base::Milliseconds timeout) {
  switch (status) {
    case BlockingSocket::Status::refused:
      return "refuses the connection: nothing listens there, or a firewall says so; Cloudflare's visitors "
             "see "
             "error 521";
    case BlockingSocket::Status::timeout:
      return "does not answer within " + seconds_text(timeout) +
             ": a firewall drops the packets, or the machine is down; Cloudflare's visitors see error 522";
    case BlockingSocket::Status::unreachable:
      return "cannot be reached: no route, or no address of that kind here; Cloudflare's visitors see error "
             "523";
    default:
      return "cannot be connected to";
  }
}

class Probing {
 public:
  explicit Probing(const ProbeArguments& arguments) : arguments_(arguments) {}

  // The exit code.
  int run() {
    const std::optional<Place> asked = parse_place(arguments_.target);
    if (!asked)
      return refuse(arguments_.target, "is no HOST:PORT; an IPv6 address stands in brackets: [::1]:443");
    std::optional<Place> place = asked;
    if (!arguments_.connect.empty()) {
      place = parse_place(arguments_.connect);
      if (!place) return refuse(arguments_.connect, "is no ADDRESS or ADDRESS:PORT to connect to");
      if (arguments_.connect.find(':') == std::string::npos || arguments_.connect.ends_with(']'))
        place->port = asked->port;
    }
    if (!load_sets()) return kUsage;
    describe(*asked);
    if (!find_address(*place)) return kUsage;
    probe_all();
    judge_chains();
    judge(report_);
    if (arguments_.as_json) {
      print_json(report_);
    } else {
      print_text(report_);
    }
    return report_.ok() ? kOk : kFailed;
  }

 private:
  static int refuse(const std::string& what, const std::string& why) {
    std::fprintf(stderr, "%s %s\n", printable(what).c_str(), printable(why).c_str());
    return kUsage;
  }

  void describe(const Place& asked) {
    report_.host = asked.host;
    report_.sni = arguments_.sni.value_or(is_address(asked.host) ? std::string() : asked.host);
    report_.at = base::WallClock::now();
    report_.timeout = arguments_.timeout;
    target_.sni = report_.sni;
    target_.host = report_.sni.empty() ? asked.host : report_.sni;
    if (target_.host.find(':') != std::string::npos) target_.host = "[" + target_.host + "]";
    if (asked.port != "443") target_.host += ":" + asked.port;
    target_.timeout = arguments_.timeout;
  }

  bool load(const std::string& file, SetPtr& to) {
    std::string why;
    to = tls::CertificateSet::load(file, why);
    if (to == nullptr) refuse(file, why);
    return to != nullptr;
  }

  bool load_sets() {
    const bool system = arguments_.roots.empty();
    report_.roots = system ? tls::kSystemRoots : arguments_.roots;
    if (!arguments_.intermediates.empty() && !load(arguments_.intermediates, intermediates_)) return false;
    return load(report_.roots, roots_);
  }

  // The first address that takes a connection; all that follows goes there.
  bool find_address(const Place& place) {
    std::string why;
    const std::vector<net::Endpoint> all = addresses_of(place, why);
    if (all.empty()) {
      refuse(place.host, "has no address: " + why);
      return false;
    }
    for (const net::Endpoint& one : all) {
      BlockingSocket socket;
      const auto status = socket.connect(one, base::Clock::now() + arguments_.timeout);
      // A reset came behind the connection: there is a server, and it let us in for a moment.
      if (status == BlockingSocket::Status::ok || status == BlockingSocket::Status::reset) {
        endpoint_ = one;
        report_.address = one.to_string();
        if (status == BlockingSocket::Status::ok) first_ = std::move(socket);
        return true;
      }
      refuse(one.to_string(), unreachable_text(status, arguments_.timeout));
    }
    return false;
  }

  void probe_all() {
    for (const tls::ProbeKindText& kind : tls::probe_kinds()) {
      const auto& chosen = arguments_.kinds;
      const bool asked = chosen.empty() || std::find(chosen.begin(), chosen.end(), kind.kind) != chosen.end();
      if (!asked) continue;
      if (is_dead() && kind.kind != ProbeKind::plain_http) {
        report_.skipped.push_back(kind.kind);
      } else if (kind.kind == ProbeKind::resumption) {
        resume();
      } else {
        probe_one(kind.kind, nullptr);
      }
    }
  }

  // Whoever left two clients without a byte until the end of their patience does so to the others.
  [[nodiscard]] bool is_dead() const {
    const auto& rows = report_.rows;
    return rows.size() >= 2 && std::all_of(rows.begin(), rows.end(), [](const ProbeRow& row) {
             return row.result.kind == ProbeKind::plain_http ||
                    (row.result.end == tls::ProbeEnd::timeout && row.result.silent);
           });
  }

  BlockingSocket connect(BlockingSocket::Status& status) {
    status = BlockingSocket::Status::ok;
    if (first_.is_open()) return std::move(first_);
    BlockingSocket socket;
    status = socket.connect(endpoint_, base::Clock::now() + arguments_.timeout);
    return socket;
  }

  void probe_one(ProbeKind kind, const tls::ProbeSession& session) {
    ProbeRow row;
    BlockingSocket::Status status{};
    BlockingSocket socket = connect(status);
    if (status != BlockingSocket::Status::ok) {
      row.result.kind = kind;
      row.result.end =
          status == BlockingSocket::Status::timeout ? tls::ProbeEnd::timeout : tls::ProbeEnd::reset;
      if (status != BlockingSocket::Status::reset) row.result.detail = "no longer connects";
      report_.rows.push_back(std::move(row));
      return;
    }
    tls::ProbeConnection connection(std::move(socket), kind, target_, session);
    row.result = connection.handshake();
    if (row.result.end == tls::ProbeEnd::done) after_handshake(connection, row);
    report_.rows.push_back(std::move(row));
  }

  // HTTP where it matters what is spoken; where it does not, TLS 1.3 is listened to for a moment: its
  // server refuses a client without a certificate, and hands out its tickets, behind the handshake.
  void after_handshake(tls::ProbeConnection& connection, ProbeRow& row) {
    ProbeResult& result = row.result;
    const bool protocol = result.kind == ProbeKind::h2_only || result.kind == ProbeKind::http1_only ||
                          result.kind == ProbeKind::no_alpn;
    const base::Instant deadline = base::Clock::now() + arguments_.timeout;
    if (protocol && arguments_.http) {
      if (result.alpn == "h2") {
        row.talk = talk_h2(connection, deadline);
      } else if (result.kind != ProbeKind::h2_only) {
        row.talk = talk_http1(connection, target_.host, deadline);
      }
    } else if (result.kind == ProbeKind::tls13 || result.certificate_asked) {
      const auto read = connection.settle(std::min(deadline, base::Clock::now() + kSettle));
      // Silence, and a server that has said its last word, are no refusal.
      if (read.end == tls::ProbeEnd::alert) {
        result.end = read.end;
        result.alert = read.alert;
      }
    }
    if (connection.session() != nullptr) result.session = connection.session();
  }

  void resume() {
    for (const ProbeRow& row : report_.rows) {
      if (row.result.session == nullptr || row.result.kind == ProbeKind::no_sni ||
          row.result.kind == ProbeKind::unknown_sni)
        continue;
      const tls::ProbeSession session = row.result.session;  // the list of rows grows
      return probe_one(ProbeKind::resumption, session);
    }
    const bool any = std::any_of(report_.rows.begin(), report_.rows.end(),
                                 [](const ProbeRow& row) { return row.result.end == tls::ProbeEnd::done; });
    if (any) probe_one(ProbeKind::resumption, nullptr);
  }

  static constexpr base::Milliseconds kSettle{300};

  // A chain for each leaf, in the order of their first client.
  void judge_chains() {
    constexpr std::size_t kMost = 4;
    std::vector<std::string> leaves;
    for (const ProbeRow& row : report_.rows) {
      const ProbeResult& result = row.result;
      const bool other_name = result.kind == ProbeKind::no_sni || result.kind == ProbeKind::unknown_sni;
      if (result.chain.empty() || result.end == tls::ProbeEnd::answered || other_name) continue;
      const std::string leaf = tls::describe(result.chain.front().get()).sha256;
      const auto known = std::find(leaves.begin(), leaves.end(), leaf);
      if (known != leaves.end()) {
        report_.chains[static_cast<std::size_t>(known - leaves.begin())].kinds.push_back(result.kind);
      } else if (leaves.size() < kMost) {
        leaves.push_back(leaf);
        report_.chains.push_back(examine(result));
      }
    }
  }

  ProbeChain examine(const ProbeResult& result) {
    const auto sent = tls::CertificateSet::of(result.chain, "sent");
    tls::ChainRequest request;
    request.given = sent.get();
    request.intermediates = intermediates_.get();
    request.roots = roots_.get();
    request.leaf = 0;
    request.host = report_.sni.empty() ? report_.host : report_.sni;
    request.at = report_.at;
    request.received = true;
    ProbeChain chain;
    chain.kinds = {result.kind};
    chain.report = tls::examine_chain(request);
    chain.staple = result.staple;
    chain.must_staple = result.must_staple;
    return chain;
  }

  const ProbeArguments& arguments_;
  SetPtr intermediates_, roots_;
  net::Endpoint endpoint_;
  BlockingSocket first_;  // the one that showed that the address takes connections
  tls::ProbeTarget target_;
  ProbeReport report_;
};

}  // namespace

int probe(const ProbeArguments& arguments) {
  return Probing(arguments).run();
}

}  // namespace sallyport::cli
