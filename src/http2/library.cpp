#include "library.hpp"

#include <array>
#include <new>

#include "head_reader.hpp"

// Debian patches these two into a version that does not have them upstream, so they are found
// by symbol: null where the library lacks them.
extern "C" {
__attribute__((weak)) void nghttp2_option_set_max_continuations(nghttp2_option* option, size_t n);
__attribute__((weak)) void nghttp2_option_set_stream_reset_rate_limit(nghttp2_option* option, uint64_t burst,
                                                                      uint64_t rate);
}

namespace sallyport::http2 {

namespace {

// nghttp2's own limits end a session without a word and without a counter of ours: they stand
// far above what FloodGuard allows.
constexpr std::size_t kMostContinuations = 1U << 16;
constexpr std::uint64_t kMostResets = 1U << 20;
// The largest head that we forward. Upstream heads of 128 KiB must pass, with what we add.
constexpr std::size_t kMostHeadSent = 512 * 1024;

struct OptionDelete {
  void operator()(nghttp2_option* option) const noexcept { nghttp2_option_del(option); }
};
using OptionPointer = std::unique_ptr<nghttp2_option, OptionDelete>;

void check(int result) {
  if (result != 0) throw std::bad_alloc();  // the only failure that setting up can meet
}

OptionPointer make_option(const Settings& settings) {
  nghttp2_option* raw = nullptr;
  check(nghttp2_option_new(&raw));
  OptionPointer option(raw);
  nghttp2_option_set_no_auto_window_update(raw, 1);
  nghttp2_option_set_no_closed_streams(raw, 1);
  // What makes a message (RFC 9113 §8) is ours to judge: section_rules.hpp, and callbacks.cpp for
  // what goes beyond one field section.
  nghttp2_option_set_no_http_messaging(raw, 1);
  nghttp2_option_set_max_send_header_block_length(raw, kMostHeadSent);
  nghttp2_option_set_max_deflate_dynamic_table_size(raw, settings.header_table);
  if (&nghttp2_option_set_max_continuations != nullptr)
    nghttp2_option_set_max_continuations(raw, kMostContinuations);
  if (&nghttp2_option_set_stream_reset_rate_limit != nullptr)
    nghttp2_option_set_stream_reset_rate_limit(raw, kMostResets, kMostResets);
  return option;
}

void submit_settings(nghttp2_session* session, Side side, const Settings& settings) {
  std::array<nghttp2_settings_entry, 8> entries;
  std::size_t n = 0;
  const auto say = [&](std::int32_t id, std::size_t value) {
    entries[n++] = {id, static_cast<std::uint32_t>(value)};
  };
  say(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1);
  say(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, settings.stream_window);
  say(NGHTTP2_SETTINGS_MAX_FRAME_SIZE, settings.max_frame);
  say(NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, settings.header_table);
  say(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, settings.head_bytes + settings.fields * kFieldOverhead);
  if (side == Side::client) {
    say(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, settings.max_concurrent_streams);
    if (settings.enable_connect_protocol) say(NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1);
  } else {
    say(NGHTTP2_SETTINGS_ENABLE_PUSH, 0);
  }
  check(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, entries.data(), n));
  check(nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                              static_cast<std::int32_t>(settings.connection_window)));
}

}  // namespace

SessionPointer open_session(Side side, const Settings& settings, const nghttp2_session_callbacks* callbacks,
                            void* user, SessionMemory& memory) {
  const OptionPointer option = make_option(settings);
  nghttp2_session* raw = nullptr;
  nghttp2_mem functions = memory.functions();
  check(side == Side::client ? nghttp2_session_server_new3(&raw, callbacks, user, option.get(), &functions)
                             : nghttp2_session_client_new3(&raw, callbacks, user, option.get(), &functions));
  memory.opened();
  SessionPointer session(raw);
  submit_settings(raw, side, settings);
  return session;
}

}  // namespace sallyport::http2
