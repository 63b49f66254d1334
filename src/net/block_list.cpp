#include "sallyport/net/block_list.hpp"

#include <array>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

namespace sallyport::net {

namespace {

namespace json = boost::json;
using Blocks = boost::system::result<std::vector<Cidr>, std::string>;

// More would be no list of ranges but a mistake.
constexpr std::size_t kMaxBlocks = 100'000;

constexpr std::array<std::string_view, 22> kCloudflare = {
    "173.245.48.0/20",  "103.21.244.0/22", "103.22.200.0/22", "103.31.4.0/22",    "141.101.64.0/18",
    "108.162.192.0/18", "190.93.240.0/20", "188.114.96.0/20", "197.234.240.0/22", "198.41.128.0/17",
    "162.158.0.0/15",   "104.16.0.0/13",   "104.24.0.0/14",   "172.64.0.0/13",    "131.0.72.0/22",
    "2400:cb00::/32",   "2606:4700::/32",  "2803:f800::/32",  "2405:b500::/32",   "2405:8100::/32",
    "2a06:98c0::/29",   "2c0f:f248::/32"};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

Blocks of_lines(std::string_view text) {
  std::vector<Cidr> blocks;
  for (std::size_t line = 1; !text.empty(); ++line) {
    const std::size_t end = text.find('\n');
    const std::string_view item = trimmed(text.substr(0, end).substr(0, text.substr(0, end).find('#')));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (item.empty()) continue;
    const auto block = Cidr::parse(item.substr(0, 100));
    if (block.has_error()) return "line " + std::to_string(line) + ": " + block.error();
    if (blocks.size() == kMaxBlocks) return std::string("more than 100000 address ranges");
    blocks.push_back(*block);
  }
  return blocks;
}

// Adds those of one list; what is wrong, or nothing.
std::string add(const json::object& result, std::string_view key, std::vector<Cidr>& blocks) {
  const json::value* list = result.if_contains(key);
  if (list == nullptr) return {};
  const std::string at = "result." + std::string(key);
  if (!list->is_array()) return at + " is no list";
  for (std::size_t i = 0; i < list->get_array().size(); ++i) {
    const json::value& item = list->get_array()[i];
    const std::string place = at + "[" + std::to_string(i) + "]: ";
    if (!item.is_string()) return place + "an address range is wanted";
    const auto block = Cidr::parse(std::string_view(item.get_string()).substr(0, 100));
    if (block.has_error()) return place + block.error();
    if (blocks.size() == kMaxBlocks) return "more than 100000 address ranges";
    blocks.push_back(*block);
  }
  return {};
}

Blocks of_json(std::string_view text) {
  json::error_code broken;
  const json::value document = json::parse(text, broken);
  if (broken) return "no JSON: " + broken.message();
  const json::object& top = document.get_object();
  if (const json::value* success = top.if_contains("success"); success != nullptr && *success == false)
    return std::string("an answer of the API that says success: false");
  const json::value* result = top.if_contains("result");
  if (result == nullptr || !result->is_object()) return std::string("JSON without an object `result`");
  std::vector<Cidr> blocks;
  for (const std::string_view key : {"ipv4_cidrs", "ipv6_cidrs"}) {
    if (std::string wrong = add(result->get_object(), key, blocks); !wrong.empty()) return wrong;
  }
  return blocks;
}

}  // namespace

Blocks parse_block_list(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  const bool is_json = first != std::string_view::npos && text[first] == '{';
  Blocks parsed = is_json ? of_json(text) : of_lines(text);
  if (parsed.has_value() && parsed->empty()) return std::string("it holds no address range");
  return parsed;
}

const std::vector<Cidr>& cloudflare_blocks() {
  static const std::vector<Cidr> blocks = [] {
    std::vector<Cidr> parsed;
    for (const std::string_view text : kCloudflare) parsed.push_back(*Cidr::parse(text));
    return parsed;
  }();
  return blocks;
}

}  // namespace sallyport::net
