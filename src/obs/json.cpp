#include "json.hpp"

namespace sallyport::obs::json {

namespace {

constexpr std::uint64_t kOnes = 0x0101010101010101;
constexpr std::uint64_t kHighs = 0x8080808080808080;

// Whether all 8 bytes are printable ASCII other than '"' and '\'. May say no to some that are.
bool plain(std::uint64_t w) noexcept {
  const std::uint64_t quote = w ^ kOnes * '"';
  const std::uint64_t slash = w ^ kOnes * '\\';
  const std::uint64_t below_space = w - kOnes * 0x20;
  return ((below_space | (quote - kOnes) | (slash - kOnes) | (w + kOnes) | w) & kHighs) == 0;
}

constexpr std::array<bool, 256> kPlain = [] {
  std::array<bool, 256> t{};
  for (std::size_t c = 0x20; c < 0x7f; ++c) t[c] = c != '"' && c != '\\';
  return t;
}();

char* put_unit(char* out, unsigned unit) noexcept {
  constexpr std::string_view kHex = "0123456789abcdef";
  out = put(out, "\\u");
  for (int shift = 12; shift >= 0; shift -= 4) *out++ = kHex[unit >> shift & 0xf];
  return out;
}

char* put_ascii(char* out, unsigned char c) noexcept {
  if (kPlain[c]) {
    *out++ = static_cast<char>(c);
    return out;
  }
  switch (c) {
    case '"':
      return put(out, "\\\"");
    case '\\':
      return put(out, "\\\\");
    case '\n':
      return put(out, "\\n");
    case '\r':
      return put(out, "\\r");
    case '\t':
      return put(out, "\\t");
    default:
      return put_unit(out, c);
  }
}

// Copies 4 to 7 plain bytes as two words that overlap; nullptr, and nothing done, if they are not plain.
char* put_short(char* out, std::string_view text) noexcept {
  constexpr std::size_t kHalf = sizeof(std::uint32_t);
  std::uint32_t head;
  std::uint32_t tail;
  std::memcpy(&head, text.data(), kHalf);
  std::memcpy(&tail, text.data() + text.size() - kHalf, kHalf);
  if (!plain(head | std::uint64_t{tail} << 32)) return nullptr;
  std::memcpy(out, &head, kHalf);
  std::memcpy(out + text.size() - kHalf, &tail, kHalf);
  return out + text.size();
}

// Length of the well-formed UTF-8 sequence (Unicode 15, table 3-7) that the text, whose first
// byte is not ASCII, begins with; 0 if there is none.
std::size_t sequence(std::string_view text) noexcept {
  const auto byte = [text](std::size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  const auto follows = [&byte](std::size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const unsigned first = byte(0);
  const unsigned second = byte(1);
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const bool in_range = first == 0xe0 ? second >= 0xa0 : first != 0xed || second < 0xa0;
    return in_range && follows(1) && follows(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const bool in_range = first == 0xf0 ? second >= 0x90 : first != 0xf4 || second < 0x90;
    return in_range && follows(1) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

char* put_two_digits(char* out, unsigned n) noexcept {
  *out++ = static_cast<char>('0' + n / 10);
  *out++ = static_cast<char>('0' + n % 10);
  return out;
}

}  // namespace

char* put_escaped(char* out, std::string_view text) noexcept {
  while (!text.empty()) {
    if (text.size() >= sizeof(std::uint64_t)) {
      std::uint64_t word;
      std::memcpy(&word, text.data(), sizeof word);
      if (plain(word)) {
        std::memcpy(out, &word, sizeof word);
        out += sizeof word;
        text.remove_prefix(sizeof word);
        continue;
      }
    } else if (text.size() >= sizeof(std::uint32_t)) {
      if (char* const end = put_short(out, text); end != nullptr) return end;
    }
    const auto c = static_cast<unsigned char>(text.front());
    if (c < 0x80) {
      out = put_ascii(out, c);
      text.remove_prefix(1);
      continue;
    }
    const std::size_t length = sequence(text);
    if (length == 0) {
      out = put_unit(out, 0xfffd);
      text.remove_prefix(1);
    } else if (c == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0) {
      out = put_unit(out, static_cast<unsigned char>(text[1]));  // C1 controls
      text.remove_prefix(2);
    } else {
      out = put(out, text.substr(0, length));
      text.remove_prefix(length);
    }
  }
  return out;
}

char* put_seconds(char* out, base::Duration d) noexcept {
  const std::int64_t micros = std::max<std::int64_t>(0, d.count()) / 1000;
  return put_micros(put_number(out, micros / 1'000'000), static_cast<std::uint32_t>(micros % 1'000'000));
}

char* put_micros(char* out, std::uint32_t micros) noexcept {
  *out++ = '.';
  out = put_two_digits(out, micros / 10'000);
  out = put_two_digits(out, micros / 100 % 100);
  return put_two_digits(out, micros % 100);
}

char* put_stamp(char* out, std::int64_t seconds_since_epoch) noexcept {
  using namespace std::chrono;
  const sys_seconds when{seconds{seconds_since_epoch}};
  const sys_days day = floor<days>(when);
  const year_month_day date{day};
  const hh_mm_ss clock{when - day};
  const auto year = static_cast<unsigned>(std::clamp(static_cast<int>(date.year()), 0, 9999));
  out = put_two_digits(put_two_digits(out, year / 100), year % 100);
  *out++ = '-';
  out = put_two_digits(out, static_cast<unsigned>(date.month()));
  *out++ = '-';
  out = put_two_digits(out, static_cast<unsigned>(date.day()));
  *out++ = 'T';
  out = put_two_digits(out, static_cast<unsigned>(clock.hours().count()));
  *out++ = ':';
  out = put_two_digits(out, static_cast<unsigned>(clock.minutes().count()));
  *out++ = ':';
  return put_two_digits(out, static_cast<unsigned>(clock.seconds().count()));
}

std::string_view cut(std::string_view text, std::size_t limit) noexcept {
  if (text.size() <= limit) return text;
  // Steps back over a sequence that the cut would split; at most three bytes, whatever they are.
  std::size_t end = limit;
  for (int i = 0; i < 3 && end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80; ++i) --end;
  return text.substr(0, end);
}

}  // namespace sallyport::obs::json
