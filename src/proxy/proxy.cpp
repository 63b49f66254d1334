#include "sallyport/proxy/proxy.hpp"

#include <random>
#include <utility>

#include "sallyport/base/hex.hpp"

#include "exchange.hpp"

namespace sallyport::proxy {

namespace {

// Heads kept for reuse, and the largest that is worth keeping.
constexpr std::size_t kSpareHeads = 64;
constexpr std::size_t kSpareHeadBytes = 8 * 1024;
// Endpoints come and go with the names' addresses; past so many the cache starts anew.
constexpr std::size_t kEndpointTexts = 256;

template <class Head>
Head take_spare(std::vector<Head>& spare) {
  if (spare.empty()) return {};
  Head head = std::move(spare.back());
  spare.pop_back();
  return head;
}

template <class Head>
void keep_spare(std::vector<Head>& spare, Head& head) {
  if (spare.size() >= kSpareHeads || head.fields.text_bytes() > kSpareHeadBytes) return;
  head.clear();
  spare.push_back(std::move(head));
}

}  // namespace

Proxy::Proxy(net::Loop& loop, upstream::Pools& pools, const obs::Metrics& metrics, obs::Shard& shard,
             obs::AccessRing& access)
    : loop_(loop), pools_(pools), metrics_(metrics), shard_(shard), access_(access) {
  std::random_device seed;
  for (std::uint64_t& word : random_) word = (std::uint64_t{seed()} << 32) | seed();
  random_[0] |= 1;  // the generator must not start at all zeroes
}

Proxy::~Proxy() {
  while (Exchange* exchange = running_.pop_front()) delete exchange;
}

void Proxy::use(SnapshotPtr snapshot) {
  snapshot_ = SnapshotRef(std::move(snapshot));
  address_sets_ = snapshot_->address_sets;
}

Exchange& Proxy::begin(session::ClientSession& session, http::Stream& stream) {
  auto exchange = std::make_unique<Exchange>(*this, session, stream);
  exchange->head_ = take_spare(spare_requests_);
  exchange->response_ = take_spare(spare_responses_);
  running_.push_back(exchange.get());
  ++active_;
  return *exchange.release();
}

void Proxy::on_request(session::ClientSession& session, http::Stream& stream, http::RequestHead&& head,
                       bool end) {
  if (loop_.pressure() >= base::Pressure::no_streams && shed(session, stream)) return;
  begin(session, stream).begin(std::move(head), end);
}

// Memory is short. A stream is refused without a trace but the counter: the client may send it
// again, elsewhere. From no_requests on everybody gets an answer that says to come back later.
bool Proxy::shed(session::ClientSession& session, http::Stream& stream) {
  const base::Error why = base::gateway_error(base::ErrorCode::overloaded);
  if (loop_.pressure() >= base::Pressure::no_requests) {
    metrics_.shed(shard_, obs::Shed::request);
    begin(session, stream).refuse(why);
    return true;
  }
  if (stream.version() != http::Version::http2) return false;
  metrics_.shed(shard_, obs::Shed::stream);
  stream.attach(nullptr);
  stream.reset(why);
  return true;
}

void Proxy::on_bad_request(session::ClientSession& session, http::Stream& stream, const base::Error& error) {
  begin(session, stream).refuse(error);
}

// The coroutine that calls this is still on the stack: the exchange dies when the turn is over.
void Proxy::ended(Exchange& exchange) {
  exchange.unlink();
  --active_;
  keep_spare(spare_requests_, exchange.head_);
  keep_spare(spare_responses_, exchange.response_);
  loop_.reap(std::unique_ptr<net::Reapable>(&exchange));
}

std::string_view Proxy::text_of(const net::Endpoint& endpoint) {
  std::uint64_t key = endpoint.port;
  for (const std::uint8_t byte : endpoint.address.bytes()) key = key * 131 + byte;
  if (endpoint_texts_.size() > kEndpointTexts) endpoint_texts_.clear();
  auto& [known, text] = endpoint_texts_[key];
  if (text.empty() || known != endpoint) {
    known = endpoint;
    text = endpoint.to_string();
  }
  return text;
}

// xoroshiro128+: ids must differ, not be secret.
void Proxy::make_request_id(std::span<char, 32> id) noexcept {
  const auto rotate = [](std::uint64_t x, int k) { return (x << k) | (x >> (64 - k)); };
  for (std::size_t half = 0; half < 2; ++half) {
    const std::uint64_t a = random_[0];
    std::uint64_t b = random_[1];
    base::put_hex16(id.data() + half * 16, a + b);
    b ^= a;
    random_[0] = rotate(a, 24) ^ b ^ (b << 16);
    random_[1] = rotate(b, 37);
  }
}

}  // namespace sallyport::proxy
