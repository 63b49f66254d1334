// Preloaded into the gateway (LD_PRELOAD), counts the calls of the allocator and of libc's system calls, by
// thread and by name, in a file that the test maps too: it reads the counts before and after some requests,
// and the gateway need not be asked, which would be counted as well. tests/integration/harness/calls.py reads
// it.
//
//   SALLYPORT_CALLS=FILE   the file, made anew; without it calls are passed on and counted nowhere
//
// FILE: kNamesSize bytes with the names, a line each, in the order of the counts, then one Row a thread in
// the order of their first calls. A thread writes its own row alone; threads beyond kThreads share the last
// and may lose counts. What does not pass libc's symbols (vdso, calls within libc) is not seen.
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <functional>
#include <new>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

// Their places in a row, one after the other.
// clang-format off
#define CALLS(X)                                                                                          \
  X(malloc) X(calloc) X(realloc) X(aligned) X(free)                                                       \
  X(send) X(sendto) X(sendmsg) X(sendmmsg) X(recv) X(recvfrom) X(recvmsg) X(recvmmsg)                     \
  X(read) X(readv) X(write) X(writev) X(epoll_wait) X(epoll_pwait) X(epoll_ctl) X(timerfd_settime)        \
  X(accept) X(accept4) X(socket) X(connect) X(setsockopt) X(getsockopt) X(getsockname) X(getpeername)     \
  X(close) X(shutdown) X(ioctl) X(fcntl) X(getrandom) X(syscall) X(mmap) X(munmap) X(madvise)
// clang-format on

namespace {

constexpr std::size_t kNamesSize = 4096;
constexpr std::size_t kThreads = 64;

enum Call : std::size_t {
#define PLACE(name) k_##name,
  CALLS(PLACE)
#undef PLACE
      kCalls
};

struct Row {
  std::atomic<std::uint64_t> thread;
  std::atomic<std::uint64_t> counts[kCalls];
};

std::atomic<Row*> rows{nullptr};
std::atomic<std::size_t> threads{0};
// Static TLS: reaching it must not allocate.
thread_local Row* row __attribute__((tls_model("initial-exec"))) = nullptr;

Row* own_row() noexcept {
  if (row != nullptr) return row;
  Row* const all = rows.load(std::memory_order_acquire);
  if (all == nullptr) return nullptr;
  const std::size_t taken = threads.fetch_add(1, std::memory_order_relaxed);
  row = all + (taken < kThreads ? taken : kThreads - 1);
  row->thread.store(static_cast<std::uint64_t>(gettid()), std::memory_order_relaxed);
  return row;
}

void count(Call call) noexcept {
  if (Row* const own = own_row()) {
    auto& counter = own->counts[call];
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
}

// The function of that name behind this library; looked for once a name.
template <typename F>
using Known = std::atomic<F*>;

template <typename F>
F* behind(Known<F>& known, const char* name) noexcept {
  F* function = known.load(std::memory_order_relaxed);
  if (function == nullptr) {
    function = reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
    known.store(function, std::memory_order_relaxed);
  }
  return function;
}

constexpr char kNames[] =
#define LINE(name) #name "\n"
    CALLS(LINE)
#undef LINE
    ;
static_assert(sizeof(kNames) <= kNamesSize);

__attribute__((constructor)) void open_file() {
  const char* const path = std::getenv("SALLYPORT_CALLS");
  if (path == nullptr) return;
  const std::size_t size = kNamesSize + kThreads * sizeof(Row);
  const int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0 || ftruncate(file, static_cast<off_t>(size)) != 0) std::abort();
  void* const mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (mapped == MAP_FAILED) std::abort();
  close(file);
  std::memcpy(mapped, kNames, sizeof(kNames));
  rows.store(reinterpret_cast<Row*>(static_cast<char*>(mapped) + kNamesSize), std::memory_order_release);
}

}  // namespace

// ---- the allocator ---------------------------------------------------------------------------
// Whichever is behind this library: the C library's, or one that the gateway is linked with.

namespace {

// What dlsym() itself allocates before it has found one; never given back.
class Spare {
 public:
  void* take(std::size_t size) noexcept {
    const std::size_t begin = used_.fetch_add((size + 15) / 16 * 16);
    return begin + size <= sizeof(bytes_) ? bytes_ + begin : nullptr;
  }
  [[nodiscard]] bool owns(const void* at) const noexcept {
    return std::less_equal<>()(bytes_, at) && std::less<>()(at, bytes_ + sizeof(bytes_));
  }

 private:
  alignas(16) char bytes_[16384] = {};
  std::atomic<std::size_t> used_{0};
};

constinit Spare spare;

struct Allocator {
  void* (*malloc)(std::size_t) = nullptr;
  void* (*calloc)(std::size_t, std::size_t) = nullptr;
  void* (*realloc)(void*, std::size_t) = nullptr;
  void* (*memalign)(std::size_t, std::size_t) = nullptr;
  void (*free)(void*) = nullptr;
};

template <typename F>
void find(F& function, const char* name) noexcept {
  function = reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}

constinit Allocator found;
std::atomic<bool> all_found{false};
thread_local bool finding __attribute__((tls_model("initial-exec"))) = false;

// nullptr to the look-up's own calls. The first call is made before there is a second thread.
const Allocator* allocator() noexcept {
  if (all_found.load(std::memory_order_acquire)) return &found;
  if (finding) return nullptr;
  finding = true;
  find(found.malloc, "malloc");
  find(found.calloc, "calloc");
  find(found.realloc, "realloc");
  find(found.memalign, "memalign");
  find(found.free, "free");
  finding = false;
  all_found.store(true, std::memory_order_release);
  return &found;
}

void* allocate(std::size_t size) noexcept {
  count(k_malloc);
  const Allocator* const real = allocator();
  return real != nullptr ? real->malloc(size) : spare.take(size);
}

void* allocate_aligned(std::size_t alignment, std::size_t size) noexcept {
  count(k_aligned);
  return allocator()->memalign(alignment, size);
}

void release(void* old) noexcept {
  if (old == nullptr || spare.owns(old)) return;
  count(k_free);
  allocator()->free(old);
}

void* or_throw(void* made) {
  if (made == nullptr) throw std::bad_alloc();
  return made;
}

}  // namespace

extern "C" {

void* malloc(std::size_t size) {
  return allocate(size);
}

void* calloc(std::size_t number, std::size_t size) {
  count(k_calloc);
  const Allocator* const real = allocator();
  return real != nullptr ? real->calloc(number, size) : spare.take(number * size);
}

void* realloc(void* old, std::size_t size) {
  count(k_realloc);
  return allocator()->realloc(old, size);
}

void* memalign(std::size_t alignment, std::size_t size) {
  return allocate_aligned(alignment, size);
}

void* aligned_alloc(std::size_t alignment, std::size_t size) {
  return allocate_aligned(alignment, size);
}

int posix_memalign(void** made, std::size_t alignment, std::size_t size) {
  *made = allocate_aligned(alignment, size);
  return *made == nullptr ? ENOMEM : 0;
}

void free(void* old) {
  release(old);
}

}  // extern "C"

// Those of libstdc++ would come by the functions above; an allocator may bring its own, which would not.
// clang-format off
void* operator new(std::size_t size) { return or_throw(allocate(size)); }
void* operator new[](std::size_t size) { return or_throw(allocate(size)); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void* operator new(std::size_t size, std::align_val_t to) { return or_throw(allocate_aligned(std::size_t(to), size)); }
void* operator new[](std::size_t size, std::align_val_t to) { return or_throw(allocate_aligned(std::size_t(to), size)); }
void operator delete(void* old) noexcept { release(old); }
void operator delete[](void* old) noexcept { release(old); }
void operator delete(void* old, std::size_t) noexcept { release(old); }
void operator delete[](void* old, std::size_t) noexcept { release(old); }
void operator delete(void* old, const std::nothrow_t&) noexcept { release(old); }
void operator delete[](void* old, const std::nothrow_t&) noexcept { release(old); }
void operator delete(void* old, std::align_val_t) noexcept { release(old); }
void operator delete[](void* old, std::align_val_t) noexcept { release(old); }
void operator delete(void* old, std::size_t, std::align_val_t) noexcept { release(old); }
void operator delete[](void* old, std::size_t, std::align_val_t) noexcept { release(old); }
// clang-format on

// ---- system calls ----------------------------------------------------------------------------

extern "C" {

// A function that counts and passes the call on. Its arguments bring their own parentheses.
// NOLINTBEGIN(bugprone-macro-parentheses)
#define PASS(result, name, parameters, arguments)             \
  result name parameters {                                    \
    static Known<result parameters> known{};                  \
    count(k_##name);                                          \
    return behind<result parameters>(known, #name) arguments; \
  }
// NOLINTEND(bugprone-macro-parentheses)

PASS(ssize_t, send, (int fd, const void* data, std::size_t size, int flags), (fd, data, size, flags))
PASS(ssize_t, sendto,
     (int fd, const void* data, std::size_t size, int flags, const sockaddr* to, socklen_t length),
     (fd, data, size, flags, to, length))
PASS(ssize_t, sendmsg, (int fd, const msghdr* message, int flags), (fd, message, flags))
PASS(int, sendmmsg, (int fd, mmsghdr* messages, unsigned number, int flags), (fd, messages, number, flags))
PASS(ssize_t, recv, (int fd, void* data, std::size_t size, int flags), (fd, data, size, flags))
PASS(ssize_t, recvfrom, (int fd, void* data, std::size_t size, int flags, sockaddr* from, socklen_t* length),
     (fd, data, size, flags, from, length))
PASS(ssize_t, recvmsg, (int fd, msghdr* message, int flags), (fd, message, flags))
PASS(int, recvmmsg, (int fd, mmsghdr* messages, unsigned number, int flags, timespec* patience),
     (fd, messages, number, flags, patience))
PASS(ssize_t, read, (int fd, void* data, std::size_t size), (fd, data, size))
PASS(ssize_t, readv, (int fd, const iovec* parts, int number), (fd, parts, number))
PASS(ssize_t, write, (int fd, const void* data, std::size_t size), (fd, data, size))
PASS(ssize_t, writev, (int fd, const iovec* parts, int number), (fd, parts, number))
PASS(int, epoll_wait, (int fd, epoll_event* events, int size, int patience), (fd, events, size, patience))
PASS(int, epoll_pwait, (int fd, epoll_event* events, int size, int patience, const sigset_t* signals),
     (fd, events, size, patience, signals))
PASS(int, epoll_ctl, (int fd, int what, int which, epoll_event* event), (fd, what, which, event))
PASS(int, timerfd_settime, (int fd, int flags, const itimerspec* next, itimerspec* old),
     (fd, flags, next, old))
PASS(int, accept, (int fd, sockaddr* from, socklen_t* length), (fd, from, length))
PASS(int, accept4, (int fd, sockaddr* from, socklen_t* length, int flags), (fd, from, length, flags))
PASS(int, socket, (int domain, int type, int protocol), (domain, type, protocol))
PASS(int, connect, (int fd, const sockaddr* to, socklen_t length), (fd, to, length))
PASS(int, setsockopt, (int fd, int level, int name, const void* value, socklen_t length),
     (fd, level, name, value, length))
PASS(int, getsockopt, (int fd, int level, int name, void* value, socklen_t* length),
     (fd, level, name, value, length))
PASS(int, getsockname, (int fd, sockaddr* name, socklen_t* length), (fd, name, length))
PASS(int, getpeername, (int fd, sockaddr* name, socklen_t* length), (fd, name, length))
PASS(int, close, (int fd), (fd))
PASS(int, shutdown, (int fd, int how), (fd, how))
PASS(ssize_t, getrandom, (void* data, std::size_t size, unsigned flags), (data, size, flags))
PASS(void*, mmap, (void* at, std::size_t size, int access, int flags, int fd, off_t offset),
     (at, size, access, flags, fd, offset))
PASS(int, munmap, (void* at, std::size_t size), (at, size))
PASS(int, madvise, (void* at, std::size_t size, int advice), (at, size, advice))
#undef PASS

// Those with a variable end: one argument, or six of syscall(), is all that they ever take.

int ioctl(int fd, unsigned long request, ...) {
  static Known<int(int, unsigned long, ...)> known{};
  count(k_ioctl);
  va_list more;
  va_start(more, request);
  void* const argument = va_arg(more, void*);
  va_end(more);
  return behind<int(int, unsigned long, ...)>(known, "ioctl")(fd, request, argument);
}

int fcntl(int fd, int command, ...) {
  static Known<int(int, int, ...)> known{};
  count(k_fcntl);
  va_list more;
  va_start(more, command);
  void* const argument = va_arg(more, void*);
  va_end(more);
  return behind<int(int, int, ...)>(known, "fcntl")(fd, command, argument);
}

long syscall(long number, ...) {
  static Known<long(long, ...)> known{};
  count(k_syscall);
  long arguments[6];
  va_list more;
  va_start(more, number);
  for (long& argument : arguments) argument = va_arg(more, long);
  va_end(more);
  return behind<long(long, ...)>(known, "syscall")(number, arguments[0], arguments[1], arguments[2],
                                                   arguments[3], arguments[4], arguments[5]);
}

}  // extern "C"
