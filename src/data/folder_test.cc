// SPDX-License-Identifier: Apache-2.0
// Streams, tar archives and folders.
#include "data/folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/stream.h"
#include "data/tar.h"
#include "data/test_files.h"

namespace kvant::data {
namespace {

using test::bytes_of;
using test::gzip;
using test::message_of;
using test::tar;
using test::tar_entry;
using test::zstd;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Bytes owned(std::string_view text) {
  const auto bytes = bytes_of(text);
  return own({bytes.begin(), bytes.end()});
}

std::string read_all(const std::string& packed, Compression compression) {
  return text_of(Stream(owned(packed), compression, "file").read_rest(size_t{1} << 24));
}

std::string long_text() {
  std::string text;
  for (int64_t i = 0; i < 50000; ++i) text += std::to_string(i * i);
  return text;
}

TEST(Stream, ReadsEveryCompression) {
  const std::string text = long_text();
  EXPECT_EQ(read_all(text, Compression::None), text);
  EXPECT_EQ(read_all(gzip(text), Compression::Gzip), text);
  EXPECT_EQ(read_all(zstd(text), Compression::Zstd), text);
  EXPECT_EQ(read_all(gzip("one ") + gzip("two"), Compression::Gzip), "one two");
  EXPECT_EQ(read_all(zstd("one ") + zstd("two"), Compression::Zstd), "one two");
}

TEST(Stream, NoticesDamageAndTruncation) {
  const std::string text = long_text();
  for (const auto& [packed, compression, kind] :
       {std::tuple{gzip(text), Compression::Gzip, "corrupt gzip data"},
        {zstd(text), Compression::Zstd, "corrupt zstd data"}}) {
    EXPECT_THAT(message_of([&] { read_all(packed.substr(0, packed.size() / 2), compression); }),
                AllOf(HasSubstr("file is damaged"), HasSubstr(kind), HasSubstr("ends too early")));
    std::string flipped = packed;
    flipped.replace(flipped.size() / 2, 8, "\xff\xff\xff\xff\xff\xff\xff\xff");
    EXPECT_THAT(message_of([&] { read_all(flipped, compression); }), HasSubstr(kind));
  }
  std::string wrong_sum = gzip(text);
  wrong_sum[wrong_sum.size() - 6] = static_cast<char>(wrong_sum[wrong_sum.size() - 6] ^ 1);
  EXPECT_THAT(message_of([&] { read_all(wrong_sum, Compression::Gzip); }), HasSubstr("incorrect data check"));
}

TEST(Stream, ChecksSizes) {
  Stream stream(owned("abcdef"), Compression::None, "file");
  EXPECT_EQ(text_of(stream.read_exactly(4, "header")), "abcd");
  EXPECT_FALSE(stream.at_end());
  EXPECT_EQ(message_of([&] { stream.read_exactly(size_t{1} << 40, "content"); }),
            "file is truncated: its content should have 1099511627776 bytes, it has 2");
  EXPECT_THAT(message_of([&] {
                Stream(owned(gzip(std::string(100000, 'x'))), Compression::Gzip, "bomb").read_rest(5000);
              }),
              HasSubstr("bomb holds more than 5000 bytes"));
}

TEST(Tar, IndexesFilesAndLongNames) {
  const std::string long_name = std::string(150, 'd') + "/" + std::string(120, 'f') + ".jpg";
  const std::string pax = "27 path=./pax/name with ü\n";
  ASSERT_EQ(pax.size(), 27u);
  const std::string archive = tar({{"./a/", "", '5'},
                                   {"./a/one.txt", "first"},
                                   {"././@LongLink", long_name + std::string(1, '\0'), 'L'},
                                   {"short", "second"},
                                   {"PaxHeader", pax, 'x'},
                                   {"ignored", "third"},
                                   {"hard", "", '1', "a/one.txt"},
                                   {"soft", "", '2', "a/one.txt"}});
  const TarIndex index = index_tar(bytes_of(archive), "x.tar");
  std::map<std::string, std::string> content;
  for (const auto& [path, entry] : index) content[path] = archive.substr(entry.offset, entry.size);
  EXPECT_EQ(
      content,
      (std::map<std::string, std::string>{
          {"a/one.txt", "first"}, {long_name, "second"}, {"pax/name with ü", "third"}, {"hard", "first"}}));
}

TEST(Tar, RefusesHostileHeaders) {
  const auto message = [](const std::string& archive) {
    return message_of([&] { index_tar(bytes_of(archive), "x.tar"); });
  };
  EXPECT_THAT(message(tar({{"../etc/passwd", "x"}})),
              HasSubstr("x.tar has an entry whose path leaves the archive"));
  std::string wrong = tar({{"a", "x"}});
  wrong[0] = 'b';
  EXPECT_THAT(message(wrong), HasSubstr("bad checksum in the header at byte 0"));
  std::string huge = tar_entry({"a", "x"});
  std::memcpy(huge.data() + 124, "77777777777", 11);
  test::set_checksum(huge);
  EXPECT_THAT(
      message(huge),
      HasSubstr("x.tar is truncated: the entry at byte 0 says it has 8589934591 bytes, 512 are left"));
  std::memcpy(huge.data() + 124, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12);
  test::set_checksum(huge);
  EXPECT_THAT(message(huge), HasSubstr("bad size in the header"));
  EXPECT_THAT(message(tar({{"x", "999 path=a\n", 'x'}})), HasSubstr("bad pax record"));
  EXPECT_THAT(message(tar({{"x", "5 p\n", 'x'}})), HasSubstr("bad pax record"));
  EXPECT_THAT(message(tar({{"x", "x", 'S'}})), HasSubstr("sparse file"));
  EXPECT_THAT(message(tar_entry({"a", "x"}).substr(0, 700) + std::string(324, '\0') + "half a header"),
              HasSubstr("x.tar is truncated: it ends inside the header at byte 1024"));
  EXPECT_THAT(message("this is no archive" + std::string(600, 'x')), HasSubstr("x.tar is not a tar archive"));
}

class Folders : public testing::TestWithParam<std::string> {
 protected:
  // The same tree as a directory or as an archive.
  std::string make() {
    const std::vector<test::TarFile> files = {{"b/2.txt", "two"},
                                              {"b/1.txt", "one"},
                                              {"a-b/x.txt", "x"},
                                              {"a/deep/y.txt", "y"},
                                              {"top.txt", "top"}};
    if (GetParam() == "directory") {
      for (const auto& file : files) root_.write("tree/" + file.path, file.content);
      return root_.path() + "/tree";
    }
    const std::string packed = tar(files);
    const std::string& ending = GetParam();
    return root_.write("tree" + ending, ending == ".tar"      ? packed
                                        : ending == ".tar.gz" ? gzip(packed)
                                                              : zstd(packed));
  }
  test::TemporaryFolder root_;
};

TEST_P(Folders, LookAlike) {
  const std::string path = make();
  ASSERT_TRUE(Folder::is_one(path));
  const Folder folder(path);
  EXPECT_THAT(folder.folders(), ElementsAre("a", "a-b", "b"));
  EXPECT_THAT(folder.files(), ElementsAre("top.txt"));
  EXPECT_THAT(folder.files("b"), ElementsAre("1.txt", "2.txt"));
  EXPECT_THAT(folder.at("a").folders(), ElementsAre("deep"));
  EXPECT_EQ(text_of(folder.read("a/deep/y.txt").view), "y");
  EXPECT_EQ(text_of(folder.at("b").read("2.txt").view), "two");
  EXPECT_EQ(folder.at("b").display("2.txt"), path + "/b/2.txt");
  EXPECT_TRUE(folder.has_folder("a/deep"));
  EXPECT_FALSE(folder.has_file("a/deep"));
  EXPECT_FALSE(folder.has_folder("to"));
  EXPECT_NE(message_of([&] { folder.read("b/3.txt"); }), "no error");
  EXPECT_TRUE(path_exists(path + "/b/1.txt"));
  EXPECT_FALSE(path_exists(path + "/b/4.txt"));
  EXPECT_EQ(text_of(read_file(path + "/b/1.txt").view), "one");
  EXPECT_THAT(Folder(path + "/a").folders(), ElementsAre("deep"));
}

INSTANTIATE_TEST_SUITE_P(All, Folders, testing::Values("directory", ".tar", ".tar.gz", ".tar.zst"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::erase(name, '.');
                           return name;
                         });

TEST(Folder, SaysWhatIsWrong) {
  const test::TemporaryFolder root;
  EXPECT_EQ(message_of([] { Folder("/no/such/place"); }), "the folder /no/such/place does not exist");
  const std::string file = root.write("a.txt", "x");
  EXPECT_EQ(message_of([&] { Folder{file}; }), file + " is neither a folder nor a .tar, .tar.gz or .tar.zst");
  const std::string archive = root.write("a.tar", tar({{"b/c", "x"}}));
  EXPECT_EQ(message_of([&] { Folder{archive + "/d"}; }), archive + " has no folder d");
}

}  // namespace
}  // namespace kvant::data
