"""Each lint catches a bad sample and leaves the good one alone."""

import sys
import unittest

import coroutines
import include_rank
import length
import tree


class IncludeRank(unittest.TestCase):
    def findings(self, path: str, line: str) -> list[str]:
        return include_rank.check(path, f"#pragma once\n{line}\n")

    def test_lower_rooms_and_the_own_one_are_fine(self):
        for line in ('#include "sallyport/base/error.hpp"', '#include "sallyport/proxy/exchange.hpp"',
                     '#include "tables.hpp"', "#include <vector>"):
            self.assertEqual(self.findings("src/proxy/exchange.cpp", line), [])

    def test_an_include_that_climbs_is_found_with_its_line(self):
        found = self.findings("include/sallyport/session/x.hpp", '#include "sallyport/proxy/exchange.hpp"')
        self.assertEqual(found, ["include/sallyport/session/x.hpp:2: session (rank 4) includes proxy (rank 6)"])

    def test_a_neighbour_of_the_same_rank_is_found(self):
        self.assertEqual(len(self.findings("src/http1/x.cpp", '#include "sallyport/http2/codec.hpp"')), 1)

    def test_private_headers_of_another_folder_are_found(self):
        self.assertEqual(len(self.findings("src/tls/x.cpp", '#include "../net/private.hpp"')), 1)

    def test_libraries_stay_in_their_rooms(self):
        self.assertEqual(self.findings("src/tls/x.cpp", "#include <openssl/ssl.h>"), [])
        for path, line in (("src/session/x.cpp", "#include <openssl/ssl.h>"),
                           ("include/sallyport/session/x.hpp", "#include <nghttp2/nghttp2.h>"),
                           ("src/runtime/x.cpp", "#include <yaml-cpp/yaml.h>"),
                           ("src/cli/x.cpp", "#include <prometheus/registry.h>")):
            self.assertEqual(len(self.findings(path, line)), 1, line)

    def test_parsers_hold_no_socket(self):
        self.assertEqual(len(self.findings("src/http1/x.cpp", "#include <boost/asio/io_context.hpp>")), 1)
        self.assertEqual(len(self.findings("src/http2/x.cpp", "#include <sys/socket.h>")), 1)

    def test_an_unknown_room_is_found(self):
        self.assertEqual(len(self.findings("src/attic/x.cpp", "")), 1)


class Coroutines(unittest.TestCase):
    GOOD = (
        "auto r = co_await f(a, b[0], C(3)); if (r) use(r);",
        "co_await std::move(task);",
        "std::array<int, 2> two{1, 2}; auto n = co_await read(two);",
        'co_await log("{what?}"); // co_await f({1})',
        "const bool k = a ? b : c; co_await f(k);",
        "auto [error] = co_await timer.async_wait(as_tuple(deferred));",
        "if (ready) { co_await f(x); } else { co_await g(x); }",
        "[[maybe_unused]] auto x = co_await f();",
        "Awaiter operator co_await() const { return Awaiter{h}; }",
    )
    BAD = (
        "co_await f(Agg{X{}, 3});",
        "co_await f({x, 3});",
        "auto r = co_await f([x] { return x; });",
        "co_await f(k ? a : b);",
        "auto v = k ? co_await a() : Obj(3);",
        "if (co_await f()) return;",
        "while (!co_await f()) {}",
        "switch (co_await f()) {}",
        "if (auto r = co_await f(); r) g();",
        "REQUIRE(co_await f() == 3);",
        "co_await Awaiter{x};",
        "co_await f(\n    a,\n    Agg{1});",
    )

    def test_good_shapes_pass(self):
        for sample in self.GOOD:
            self.assertEqual(coroutines.check("x.cpp", f"task<> t() {{ {sample} }}"), [], sample)

    def test_bad_shapes_are_found(self):
        for sample in self.BAD:
            self.assertNotEqual(coroutines.check("x.cpp", f"task<> t() {{ {sample} }}"), [], sample)

    def test_the_line_is_told(self):
        self.assertTrue(coroutines.check("x.cpp", "a;\nb;\nif (co_await f()) {}\n")[0].startswith("x.cpp:3: "))


class Length(unittest.TestCase):
    def test_600_lines_pass_and_601_do_not(self):
        self.assertEqual(length.check("x.cpp", "\n" * 600), [])
        self.assertEqual(length.check("x.cpp", "\n" * 601), ["x.cpp: 601 lines"])


class Tree(unittest.TestCase):
    def test_comments_and_literals_go_blank_and_lines_stay(self):
        source = 'a; // {\n/* {\n */ b = "{\\"{"; c = \'{\'; d = 1\'000; e = R"x({\n)")x";\n'
        code = tree.blanked(source)
        self.assertNotIn("{", code)
        self.assertIn("1'000", code)
        self.assertEqual(code.count("\n"), source.count("\n"))

    def test_the_sources_are_found(self):
        self.assertTrue(tree.files("include/sallyport/**/*.hpp"))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[1:]])
