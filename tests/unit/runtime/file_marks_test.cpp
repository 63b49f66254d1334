#include "file_marks.hpp"

#include <cstdlib>
#include <fstream>

#include "catch.hpp"

using namespace sallyport;
using namespace sallyport::runtime;
namespace fs = std::filesystem;

namespace {

struct Folder {
  Folder() {
    std::string name = (fs::temp_directory_path() / "sallyport-marks-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = fs::canonical(name);
  }
  ~Folder() { fs::remove_all(path); }
  [[nodiscard]] std::string operator/(const std::string& name) const { return (path / name).string(); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(path / name) << text; }
  fs::path path;
};

}  // namespace

TEST_CASE("the places of a plain file are one, of a Kubernetes secret its links and where they lead") {
  const Folder folder;
  folder.write("plain.pem", "x");
  CHECK(places_of({folder / "plain.pem"}) == Places{{folder.path, {"plain.pem"}}});
  CHECK(places_of({folder / "./none/../plain.pem"}).count(folder.path) == 1);

  fs::create_directory(folder / "..2026_1");
  folder.write("..2026_1/tls.crt", "x");
  fs::create_directory_symlink("..2026_1", folder / "..data");
  fs::create_symlink("..data/tls.crt", folder / "tls.crt");
  CHECK(places_of({folder / "tls.crt"}) ==
        Places{{folder.path, {"tls.crt", "..data"}}, {folder / "..2026_1", {"tls.crt"}}});
}

TEST_CASE("links may be absolute, lead upwards, and around in a circle") {
  const Folder folder;
  fs::create_directories(folder / "live/a");
  fs::create_directories(folder / "archive/a");
  folder.write("archive/a/cert1.pem", "x");
  fs::create_symlink("../../archive/a/cert1.pem", folder / "live/a/cert.pem");
  CHECK(places_of({folder / "live/a/cert.pem"}) ==
        Places{{folder / "live/a", {"cert.pem"}}, {folder / "archive/a", {"cert1.pem"}}});
  fs::create_symlink(folder / "archive/a/cert1.pem", folder / "absolute");
  CHECK(places_of({folder / "absolute"}) ==
        Places{{folder.path, {"absolute"}}, {folder / "archive/a", {"cert1.pem"}}});
  fs::create_symlink("round", folder / "round");
  CHECK(places_of({folder / "round"}) == Places{{folder.path, {"round"}}});
}

TEST_CASE("what is missing is waited for where its way ends") {
  const Folder folder;
  CHECK(places_of({folder / "new/deeper/cert.pem"}) == Places{{folder.path, {"new"}}});
  CHECK(places_of({"/../../no-such-directory/x"}) == Places{{"/", {"no-such-directory"}}});
}

TEST_CASE("a touch is no change, other bytes, none and back again are") {
  const Folder folder;
  const FileMarker marker;
  const std::vector<std::string> files{folder / "a", folder / "b"};
  folder.write("a", "one");
  const FileMarks first = marker.look(files, {});
  CHECK(first.at(folder / "b").error == ENOENT);
  fs::last_write_time(folder / "a", fs::file_time_type::clock::now() + std::chrono::hours(1));
  CHECK(same_content(first, marker.look(files, first)));
  folder.write("a", "two");
  CHECK_FALSE(same_content(first, marker.look(files, first)));
  folder.write("a", "one");
  folder.write("b", "");
  const FileMarks there = marker.look(files, first);
  CHECK_FALSE(same_content(first, there));
  fs::remove(folder / "b");
  CHECK(same_content(first, marker.look(files, there)));
}

TEST_CASE("the files of a configuration are all that it names, once each") {
  config::Model model;
  config::Host host;
  config::Certificate certificate;
  certificate.chain = "/c/chain.pem";
  certificate.key = "/c/chain.pem";
  certificate.ocsp = "/c/answer.der";
  host.certificates = {certificate};
  model.hosts = {host};
  model.tls.roots = "/c/roots.pem";
  config::TlsPolicy policy;
  policy.client_auth.ca = "/c/ca.pem";
  policy.client_auth.crls = {"/c/a.crl"};
  model.tls.policies = {policy};
  CHECK(files_of(model, "/etc/s.yaml") == std::vector<std::string>{"/c/a.crl", "/c/answer.der", "/c/ca.pem",
                                                                   "/c/chain.pem", "/c/roots.pem",
                                                                   "/etc/s.yaml"});
}
