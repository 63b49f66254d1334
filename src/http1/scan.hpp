// Where a run of permitted bytes ends: the inner loops of the head parser.
//
// SSE2 is in every x86-64; elsewhere, and for the last bytes, a plain loop says the same. Pure.
#pragma once

#include <cstddef>
#include <string_view>

#include "sallyport/http/semantics.hpp"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace sallyport::http1::scan {

// Ends a field value: every control byte but tab, and DEL (RFC 9110 §5.5).
constexpr bool ends_value(char c) noexcept {
  return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F;
}
// Ends a target: what is not visible ASCII, and '#', for a fragment is never sent.
constexpr bool ends_target(char c) noexcept {
  return static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7F || c == '#';
}

// Ends a method or a field name.
constexpr bool ends_name(char c) noexcept {
  return !http::is_tchar(c);
}

template <class Ends>
[[nodiscard]] std::size_t plain(std::string_view text, std::size_t from, Ends ends) noexcept {
  while (from < text.size() && !ends(text[from])) ++from;
  return from;
}

#if defined(__SSE2__)
namespace detail {

constexpr std::size_t kStep = 16;

inline __m128i load(const char* p) noexcept {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}
// Lanes that are at most `bound`, unsigned.
inline __m128i at_most(__m128i x, char bound) noexcept {
  return _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(bound)), x);
}
inline __m128i equal(__m128i x, char c) noexcept {
  return _mm_cmpeq_epi8(x, _mm_set1_epi8(c));
}

inline int value_stops(__m128i x) noexcept {
  const __m128i control = _mm_andnot_si128(equal(x, '\t'), at_most(x, 0x1F));
  return _mm_movemask_epi8(_mm_or_si128(control, equal(x, 0x7F)));
}
inline int target_stops(__m128i x) noexcept {
  // As signed bytes, those above 0x7F are below 0x21 too.
  const __m128i outside = _mm_cmplt_epi8(x, _mm_set1_epi8(0x21));
  return _mm_movemask_epi8(_mm_or_si128(outside, _mm_or_si128(equal(x, 0x7F), equal(x, '#'))));
}
// Stops at more than it must: only letters, digits and '-' pass.
inline int name_stops(__m128i x) noexcept {
  const auto from_to = [](__m128i v, char first, char last) {
    return at_most(_mm_sub_epi8(v, _mm_set1_epi8(first)), static_cast<char>(last - first));
  };
  const __m128i letter = from_to(_mm_or_si128(x, _mm_set1_epi8(0x20)), 'a', 'z');
  const __m128i other = _mm_or_si128(from_to(x, '0', '9'), equal(x, '-'));
  return ~_mm_movemask_epi8(_mm_or_si128(letter, other)) & 0xFFFF;
}

// Lane i is all ones when i < n <= kStep.
inline __m128i first_lanes(std::size_t n) noexcept {
  alignas(kStep) static constexpr char kLanes[2 * kStep] = {-1, -1, -1, -1, -1, -1, -1, -1,
                                                            -1, -1, -1, -1, -1, -1, -1, -1};
  return load(kLanes + kStep - n);
}

template <class Stops>
std::size_t skip(std::string_view text, std::size_t from, Stops stops, bool& found) noexcept {
  for (; text.size() - from >= kStep; from += kStep) {
    const int mask = stops(load(text.data() + from));
    if (mask != 0) {
      found = true;
      return from + static_cast<std::size_t>(__builtin_ctz(static_cast<unsigned>(mask)));
    }
  }
  return from;
}

}  // namespace detail
#endif

// The first byte at or after `from` that ends the run, or text.size().
[[nodiscard]] inline std::size_t value_end(std::string_view text, std::size_t from) noexcept {
#if defined(__SSE2__)
  bool found = false;
  from = detail::skip(text, from, detail::value_stops, found);
  if (found) return from;
#endif
  return plain(text, from, ends_value);
}

[[nodiscard]] inline std::size_t target_end(std::string_view text, std::size_t from) noexcept {
#if defined(__SSE2__)
  bool found = false;
  from = detail::skip(text, from, detail::target_stops, found);
  if (found) return from;
#endif
  return plain(text, from, ends_target);
}

[[nodiscard]] inline std::size_t name_end(std::string_view text, std::size_t from) noexcept {
#if defined(__SSE2__)
  bool found = false;
  from = detail::skip(text, from, detail::name_stops, found);
#endif
  return plain(text, from, ends_name);
}

// Lowers n letters in place. `limit` is where readable and writable memory ends.
inline void lower(char* text, std::size_t n, const char* limit) noexcept {
#if defined(__SSE2__)
  while (n != 0 && static_cast<std::size_t>(limit - text) >= detail::kStep) {
    const std::size_t step = n < detail::kStep ? n : detail::kStep;
    const __m128i x = detail::load(text);
    const __m128i upper = detail::at_most(_mm_sub_epi8(x, _mm_set1_epi8('A')), 'Z' - 'A');
    const __m128i change =
        _mm_and_si128(_mm_and_si128(upper, detail::first_lanes(step)), _mm_set1_epi8(0x20));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(text), _mm_or_si128(x, change));
    text += step;
    n -= step;
  }
#endif
  for (; n != 0; --n, ++text) *text = http::to_lower(*text);
}

}  // namespace sallyport::http1::scan
