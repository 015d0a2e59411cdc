// SPDX-License-Identifier: Apache-2.0
// Every format by small files made here: what it gives, and each of its refusals by message.
#include "data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/csv_table.h"
#include "data/npy.h"
#include "data/test_files.h"

namespace kvant::data {
namespace {

using test::encode_jpeg;
using test::encode_png;
using test::gzip;
using test::idx_file;
using test::message_of;
using test::scene;
using test::tar;
using test::zstd;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string open_message(const std::string& spec) {
  return message_of([&] { open(spec); });
}

std::vector<int64_t> labels_of(const Dataset& dataset) {
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < dataset.size(); ++i) labels.push_back(dataset.label(i));
  return labels;
}

class Formats : public testing::Test {
 protected:
  std::string write(const std::string& name, std::string_view content) { return root_.write(name, content); }
  std::string at(const std::string& name) const { return root_.path() + "/" + name; }
  test::TemporaryFolder root_;
};

using Open = Formats;

TEST_F(Open, SaysWhatIsWrongWithTheSpec) {
  EXPECT_EQ(open_message("idx:/no/such/folder"), "the data set /no/such/folder does not exist");
  EXPECT_EQ(open_message("/no/such/folder"), "the data set /no/such/folder does not exist");
  EXPECT_THAT(open_message("imagefoldr:" + at("")),
              HasSubstr("unknown data format 'imagefoldr' (nearest: imagefolder"));
  EXPECT_EQ(open_message("csv:"), "no path in the data set 'csv:'; write FORMAT:PATH");
  write("odd/readme.txt", "x");
  EXPECT_THAT(open_message(at("odd")), AllOf(HasSubstr("cannot tell what data format " + at("odd") + " has"),
                                             HasSubstr("imagefolder (")));
  EXPECT_THAT(open_message("csv:" + at("odd") + "#"), HasSubstr("no split after the '#'"));
}

TEST_F(Open, SelectsAndSpreads) {
  write("train-images-idx3-ubyte", idx_file({6, 1, 1}, "abcdef"));
  write("train-labels-idx1-ubyte", idx_file({6}, std::string("\0\1\2\3\4\5", 6)));
  const Dataset all = open(at(""));
  EXPECT_TRUE(all.guessed());
  EXPECT_EQ(all.spec(), "idx:" + root_.path());
  EXPECT_THAT(labels_of(all.spread(3)), ElementsAre(0, 2, 4));
  EXPECT_THAT(labels_of(all.spread(3).select({2, 0})), ElementsAre(4, 0));
  EXPECT_EQ(all.spread(99).size(), 6);
  EXPECT_EQ(all.class_count(), 6);
  EXPECT_EQ(message_of([&] { all.require_labels(5); }),
            at("train-images-idx3-ubyte") + ", image 5: label 5 is outside 0..4 (the model has 5 classes)");
  all.require_labels(6);
}

using Idx = Formats;

TEST_F(Idx, ReadsPlainAndPackedSplits) {
  write("train-images-idx3-ubyte.gz", gzip(idx_file({2, 1, 2}, "abcd")));
  write("train-labels-idx1-ubyte.gz", gzip(idx_file({2}, "\7\3")));
  write("t10k-images-idx3-ubyte", idx_file({1, 2, 1}, "ef"));
  write("t10k-labels-idx1-ubyte.gz", gzip(idx_file({1}, "\1")));
  const Dataset train = open("idx:" + at(""));
  EXPECT_FALSE(train.guessed());
  EXPECT_THAT(labels_of(train), ElementsAre(7, 3));
  const Image image = train.image(1);
  EXPECT_EQ(image.height, 1);
  EXPECT_EQ(image.width, 2);
  EXPECT_EQ(image.channels, 1);
  EXPECT_THAT(image.pixels, ElementsAre('c', 'd'));
  EXPECT_THAT(labels_of(open("idx:" + root_.path() + "#test")), ElementsAre(1));
  const Dataset all = open(root_.path() + "#all");
  EXPECT_THAT(labels_of(all), ElementsAre(7, 3, 1));
  EXPECT_THAT(all.image(2).pixels, ElementsAre('e', 'f'));
  EXPECT_EQ(all.describe(2), at("t10k-images-idx3-ubyte") + ", image 0");
  EXPECT_THAT(labels_of(open(at("t10k-images-idx3-ubyte"))), ElementsAre(1));
  EXPECT_THAT(open_message(root_.path() + "#tset"), HasSubstr("unknown split 'tset' (nearest: test"));
}

TEST_F(Idx, RefusesBrokenFiles) {
  EXPECT_THAT(open_message("idx:" + root_.path()), HasSubstr("has no training images in idx format"));
  write("train-images-idx3-ubyte", idx_file({2, 1, 2}, "abcd"));
  EXPECT_EQ(open_message("idx:" + root_.path()), "the labels of " + at("train-images-idx3-ubyte") +
                                                     " are missing: there is no " +
                                                     at("train-labels-idx1-ubyte"));
  write("train-labels-idx1-ubyte", idx_file({3}, "\1\2\3"));
  EXPECT_EQ(open_message("idx:" + root_.path()), at("train-images-idx3-ubyte") + " has 2 images, but " +
                                                     at("train-labels-idx1-ubyte") + " has 3 labels");
  write("train-labels-idx1-ubyte", idx_file({2, 1}, "\1\2"));
  EXPECT_THAT(open_message("idx:" + root_.path()),
              HasSubstr("train-labels-idx1-ubyte is not an idx file of labels: it begins with 0x00000802, "
                        "not with 0x00000801"));
  write("train-labels-idx1-ubyte", idx_file({2}, "\1\2"));
  write("train-images-idx3-ubyte", idx_file({2, 1, 2}, "abc"));
  EXPECT_THAT(open_message("idx:" + root_.path()),
              HasSubstr("is truncated: its images should have 4 bytes, it has 3"));
  write("train-images-idx3-ubyte", idx_file({2, 1, 2}, "abcde"));
  EXPECT_THAT(open_message("idx:" + root_.path()), HasSubstr("has more data than its header says (2x1x2)"));
  write("train-images-idx3-ubyte", idx_file({0xffffffff, 0xffffffff, 0xffffffff}, "abcd"));
  EXPECT_NE(open_message("idx:" + root_.path()), "no error");
  write("train-images-idx3-ubyte", idx_file({0, 1, 2}, ""));
  write("train-labels-idx1-ubyte", idx_file({0}, ""));
  EXPECT_THAT(open_message("idx:" + root_.path()), HasSubstr("is empty"));
}

TEST_F(Idx, RefusesCorruptGzip) {
  std::string packed = gzip(idx_file({100, 8, 8}, std::string(6400, 'x') + "no"));
  write("train-labels-idx1-ubyte", idx_file({100}, std::string(100, '\1')));
  write("train-images-idx3-ubyte.gz", packed.substr(0, packed.size() - 12));
  EXPECT_THAT(open_message(root_.path()), AllOf(HasSubstr(at("train-images-idx3-ubyte.gz") + " is damaged"),
                                                HasSubstr("corrupt gzip data")));
  write("train-images-idx3-ubyte.gz", "no gzip at all, but long enough");
  EXPECT_THAT(open_message(root_.path()), HasSubstr("corrupt gzip data: incorrect header check"));
}

using Cifar = Formats;

std::string cifar_records(const std::vector<int>& labels) {
  std::string result;
  for (const int label : labels) {
    result += static_cast<char>(label);
    for (int i = 0; i < 3072; ++i) result += static_cast<char>(i / 1024 * 50 + i % 7 + label);
  }
  return result;
}

TEST_F(Cifar, ReadsBatchesAndLoneFiles) {
  write("cifar-10-batches-bin/data_batch_1.bin", cifar_records({3, 9}));
  write("cifar-10-batches-bin/data_batch_2.bin", cifar_records({4}));
  write("cifar-10-batches-bin/test_batch.bin", cifar_records({5}));
  const Dataset train = open(root_.path());
  EXPECT_EQ(train.spec(), "cifar10:" + root_.path());
  EXPECT_THAT(labels_of(train), ElementsAre(3, 9, 4));
  EXPECT_EQ(train.class_names()[9], "truck");
  EXPECT_EQ(train.image(1).at(0, 3, 2), 100 + 2051 % 7 + 9);
  EXPECT_THAT(labels_of(open("cifar10:" + root_.path() + "#test")), ElementsAre(5));
  const std::string packed = write("some.bin.zst", zstd(cifar_records({1, 2})));
  EXPECT_THAT(labels_of(open(packed)), ElementsAre(1, 2));
}

TEST_F(Cifar, RefusesBrokenFiles) {
  const std::string cut = write("cut.bin", cifar_records({1, 2}).substr(0, 5000));
  EXPECT_EQ(open_message(cut),
            cut + " is truncated, or not a CIFAR-10 file: its 5000 bytes are not a multiple of 3073");
  const std::string odd = write("odd.bin", cifar_records({1, 23}));
  EXPECT_THAT(open_message(odd), HasSubstr("the label of record 1 is 23, outside 0..9"));
  EXPECT_THAT(open_message("cifar10:" + root_.path()), HasSubstr("has no data_batch*.bin"));
  const std::string packed = zstd(cifar_records({1, 2}));
  EXPECT_THAT(open_message(write("bad.bin.zst", packed.substr(0, packed.size() - 9))),
              HasSubstr("corrupt zstd data"));
  EXPECT_THAT(open_message(write("empty.bin", "")), HasSubstr("is empty"));
}

using ImageFolder = Formats;

TEST_F(ImageFolder, SortsClassesAndReadsArchives) {
  const std::string jpeg = encode_jpeg(scene(20, 30, 3));
  const std::string png = encode_png(scene(8, 9, 1));
  write("set/dog/b.jpg", jpeg);
  write("set/dog/a.PNG", png);
  write("set/cat/x.jpeg", jpeg);
  write("set/cat/notes.txt", "no picture");
  const std::string archive = write(
      "set.tar.zst",
      zstd(tar({{"dog/b.jpg", jpeg}, {"dog/a.PNG", png}, {"cat/x.jpeg", jpeg}, {"cat/notes.txt", "x"}})));
  for (const std::string& path : {at("set"), archive}) {
    const Dataset dataset = open(path);
    EXPECT_EQ(dataset.spec(), "imagefolder:" + path);
    EXPECT_THAT(dataset.class_names(), ElementsAre("cat", "dog"));
    EXPECT_THAT(labels_of(dataset), ElementsAre(0, 1, 1));
    EXPECT_EQ(dataset.describe(1), path + "/dog/a.PNG");
    EXPECT_EQ(dataset.image(1), scene(8, 9, 1));
    EXPECT_EQ(dataset.image(2).width, 30);
  }
}

TEST_F(ImageFolder, KnowsSplits) {
  const std::string png = encode_png(scene(4, 4, 1));
  write("train/a/1.png", png);
  write("train/b/1.png", png);
  write("test/b/2.png", png);
  EXPECT_THAT(labels_of(open(root_.path())), ElementsAre(0, 1));
  EXPECT_THAT(labels_of(open("imagefolder:" + root_.path() + "#test")), ElementsAre(1));
  EXPECT_EQ(open(root_.path() + "#all").size(), 3);
  EXPECT_THAT(labels_of(open(at("test"))), ElementsAre(0));
  EXPECT_THAT(open_message(root_.path() + "#tran"),
              HasSubstr("no folder for the split 'tran' (nearest: train"));
}

TEST_F(ImageFolder, TakesPicturesWithoutClassesAsUnlabelled) {
  write("photos/a.png", encode_png(scene(4, 4, 1)));
  const Dataset dataset = open(at("photos"));
  EXPECT_FALSE(dataset.labelled());
  EXPECT_EQ(message_of([&] { dataset.require_labels(); }),
            "the data set imagefolder:" + at("photos") + " has no labels, which are needed here");
}

TEST_F(ImageFolder, NamesTheBrokenPicture) {
  const std::string jpeg = encode_jpeg(scene(40, 40, 3));
  const std::string path = write("set/a/cut.jpg", jpeg.substr(0, jpeg.size() / 2));
  const Dataset dataset = open(at("set"));
  EXPECT_THAT(message_of([&] { dataset.image(0); }), HasSubstr("cannot decode " + path + " (corrupt JPEG: "));
  std::filesystem::create_directories(at("none/a"));
  EXPECT_THAT(open_message("imagefolder:" + at("none")), HasSubstr("has no pictures"));
  EXPECT_THAT(open_message("imagefolder:" + path), HasSubstr("is not a folder"));
}

using Csv = Formats;

TEST_F(Csv, ReadsLabelsNamesAndSplits) {
  write("p/1.png", encode_png(scene(4, 5, 1)));
  const std::string table = write("labels.csv",
                                  "\xef\xbb\xbfpath,label,class_name,split\r\n"
                                  "p/1.png,2,\"tench, Tinca\"\"s\",calibrate\r\n"
                                  "\r\n"
                                  "p/2.png,0,b,evaluate\n");
  const Dataset all = open(table);
  EXPECT_THAT(labels_of(all), ElementsAre(2, 0));
  EXPECT_THAT(all.class_names(), ElementsAre("b", "1", "tench, Tinca\"s"));
  EXPECT_EQ(all.image(0), scene(4, 5, 1));
  EXPECT_EQ(all.describe(1), table + ", line 4 (p/2.png)");
  EXPECT_THAT(message_of([&] { all.image(1); }), HasSubstr("cannot open " + at("p/2.png")));
  EXPECT_THAT(labels_of(open("csv:" + table + "#evaluate")), ElementsAre(0));
  EXPECT_THAT(labels_of(open("csv:" + root_.path() + "#evaluate")), ElementsAre(0));
  EXPECT_THAT(open_message(table + "#evalute"),
              HasSubstr("has no rows of the split 'evalute' (nearest: evaluate"));
}

TEST_F(Csv, FindsPicturesInAnArchive) {
  const std::string table = "path,label\n1.png,7\n";
  const std::string archive =
      write("packed/images.tar", tar({{"1.png", encode_png(scene(4, 5, 1))}, {"labels.csv", table}}));
  const std::string beside = write("packed/labels.csv", table);
  for (const std::string& spec : {archive, "csv:" + archive, archive + "/labels.csv", beside}) {
    const Dataset dataset = open(spec);
    EXPECT_THAT(labels_of(dataset), ElementsAre(7)) << spec;
    EXPECT_EQ(dataset.image(0), scene(4, 5, 1)) << spec;
  }
}

TEST_F(Csv, RefusesBrokenTables) {
  const auto message = [&](const std::string& content) {
    return open_message("csv:" + write("t.csv", content));
  };
  const std::string t = at("t.csv");
  EXPECT_EQ(message("file,label\na,1\n"), t + " has no column 'path' (its columns: file, label)");
  EXPECT_EQ(message("path,label\na,1\nb,dog\n"), t + ", line 3: the label 'dog' is not a whole number");
  EXPECT_EQ(message("path,label\na,1.5\n"), t + ", line 2: the label '1.5' is not a whole number");
  EXPECT_EQ(message("path,label\na,-1\n"), t + ", line 2: the label -1 is outside 0..9999999");
  EXPECT_EQ(message("path,label\na,99999999999999999999\n"),
            t + ", line 2: the label 99999999999999999999 is outside 0..9999999");
  EXPECT_EQ(message("path,label\na\n"), t + ", line 2: 1 fields, but the header has 2");
  EXPECT_EQ(message("path,label\n,3\n"), t + ", line 2: the path is empty");
  EXPECT_EQ(message("path,label\n\"a\nb,3\n"), t + ", line 2: a quote is never closed");
  EXPECT_EQ(message("path,label\n\"a\"b,3\n"), t + ", line 2: text after a closing quote");
  EXPECT_THAT(message("path,label\n"), HasSubstr("is empty"));
  EXPECT_THAT(message(""), HasSubstr("is empty: a header line"));
  write("t.csv", "path,label\na,1\n");
  EXPECT_EQ(open_message("csv:" + t + "#test"), t + " has no column 'split' (its columns: path, label)");
}

TEST_F(Csv, ChecksLabelsAgainstTheModel) {
  const Dataset dataset = open("csv:" + write("t.csv", "path,label\na.jpg,3\nb.jpg,1000\n"));
  EXPECT_EQ(message_of([&] { dataset.require_labels(1000); }),
            at("t.csv") + ", line 3 (b.jpg): label 1000 is outside 0..999 (the model has 1000 classes)");
}

using NpzSet = Formats;

TEST_F(NpzSet, HoldsTensorsOrImages) {
  const Tensor x = Tensor::of<float>({2, 1, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  write_npz(at("f.npz"), {{"x", x}, {"y", Tensor::vector<int32_t>({4, 0})}});
  const Dataset tensors = open(at("f.npz"));
  EXPECT_FALSE(tensors.holds_images());
  EXPECT_THAT(labels_of(tensors), ElementsAre(4, 0));
  EXPECT_EQ(tensors.tensor(1), Tensor::of<float>({1, 2, 2}, {5, 6, 7, 8}));

  const Tensor nchw = Tensor::of<uint8_t>({1, 3, 1, 2}, {1, 2, 3, 4, 5, 6});
  const Tensor nhwc = Tensor::of<uint8_t>({1, 1, 2, 3}, {1, 3, 5, 2, 4, 6});
  write_npz(at("u.npz"), {{"x_train", nchw}, {"x_test", nhwc}, {"y_test", Tensor::of<int64_t>({1, 1}, {3})}});
  const Dataset train = open(at("u.npz"));
  const Dataset test = open(at("u.npz") + "#test");
  EXPECT_TRUE(train.holds_images());
  EXPECT_THAT(train.image(0).pixels, ElementsAre(1, 3, 5, 2, 4, 6));
  EXPECT_EQ(train.image(0), test.image(0));
  EXPECT_FALSE(train.labelled());
  EXPECT_THAT(labels_of(test), ElementsAre(3));
}

TEST_F(NpzSet, RefusesWhatIsNoDataSet) {
  const Tensor x = Tensor::of<float>({2, 1}, {1, 2});
  const auto message = [&](const NamedTensors& arrays) {
    write_npz(at("a.npz"), arrays);
    return open_message("npz:" + at("a.npz"));
  };
  EXPECT_EQ(message({{"images", x}, {"y", x}}), at("a.npz") + " has no array 'x' (its arrays: images, y)");
  EXPECT_EQ(message({{"x", x}, {"y", Tensor::vector<int64_t>({1, 2, 3})}}),
            at("a.npz") + ": the array 'y' has 3 labels, but there are 2 samples");
  EXPECT_THAT(message({{"x", x}, {"y", Tensor::vector<float>({1, 2})}}),
              HasSubstr("must be a list of whole numbers"));
  EXPECT_THAT(message({{"x", x}, {"y", Tensor::vector<int64_t>({1, -2})}}),
              HasSubstr("has a negative label: -2 at sample 1"));
  EXPECT_THAT(message({{"x", Tensor(DType::Float32, {0, 3})}}), HasSubstr("is empty"));
  EXPECT_THAT(message({{"x", Tensor::scalar(1.0f)}}), HasSubstr("is a single number"));
  EXPECT_THAT(open_message("npz:" + write("bad.npz", std::string(100, 'x'))),
              HasSubstr("is not a zip archive"));
}

TEST(FormatList, EveryEntryIsComplete) {
  std::vector<std::string> names;
  for (const DatasetFormat& format : formats()) {
    names.push_back(format.name);
    EXPECT_FALSE(format.what.empty());
  }
  EXPECT_THAT(names, ElementsAre("idx", "cifar10", "npz", "csv", "imagefolder"));
}

}  // namespace
}  // namespace kvant::data
