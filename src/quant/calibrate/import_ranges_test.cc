// SPDX-License-Identifier: Apache-2.0
// Ranges of other tools, ranges of several files, and names that the model does not have.
#include "quant/calibrate/import_ranges.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"
#include "ir/text.h"
#include "tensor/quantize.h"

namespace kvant::quant {
namespace {

using testing::HasSubstr;

std::string message_of(const std::function<void()>& fn) {
  try {
    fn();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

TEST(TensorRtCache, ScalesBecomeRanges) {
  // 3c010a14 is 0.00787593797, 3f800000 is 1, 3dcccccd is 0.1f.
  const CalibrationTable table = table_from_text(
      "TRT-8601-EntropyCalibration2\n"
      "input: 3c010a14\n"
      "StatefulPartitionedCall/model/conv1/Relu:0: 3f800000\r\n"
      "(Unnamed Layer* 3) [Shuffle]_output: 3dcccccd\n"
      "\n"
      "dead: 0\n");
  EXPECT_EQ(table.calibrator, "TensorRT EntropyCalibration2");
  EXPECT_EQ(table.ranges.size(), 4u);
  EXPECT_EQ(table.ranges.at("StatefulPartitionedCall/model/conv1/Relu:0"), (Range{-127, 127}));
  EXPECT_FLOAT_EQ(table.ranges.at("input").high, 0.00787593797f * 127);
  EXPECT_FLOAT_EQ(symmetric_scale(table.ranges.at("input").amax()), 0.00787593797f);
  EXPECT_FLOAT_EQ(symmetric_scale(table.ranges.at("(Unnamed Layer* 3) [Shuffle]_output").amax()), 0.1f);
  EXPECT_EQ(table.ranges.at("dead"), (Range{0, 0}));
  EXPECT_EQ(table_from_text("TRT-7203-MinMaxCalibration").ranges.size(), 0u);
}

TEST(TensorRtCache, RefusesWhatIsMalformed) {
  const auto error = [](const std::string& lines) {
    return message_of([&] { table_from_text("TRT-8601-EntropyCalibration2\n" + lines); });
  };
  EXPECT_EQ(error("a: 3f800000\nb 3f800000\n"),
            "TensorRT calibration cache, line 3: '<tensor>: <scale>' expected");
  EXPECT_EQ(error("a: 3f80000g"),
            "TensorRT calibration cache, line 2: the scale of 'a' is not a float32 in hexadecimal digits");
  EXPECT_THAT(error("a: 3f80000000"), HasSubstr("the scale of 'a' is not a float32"));
  EXPECT_THAT(error("a: "), HasSubstr("the scale of 'a' is not a float32"));
  EXPECT_THAT(error("a: 7fc00000"), HasSubstr("line 2: the scale of 'a' is nan, not a finite number"));
  EXPECT_THAT(error("a: bf800000"), HasSubstr("the scale of 'a' is -1, not a finite number of at least 0"));
  EXPECT_THAT(error("a: 7f7fffff"), HasSubstr("not a finite number"));  // 127 of it are beyond float32
  EXPECT_THAT(error("a: 0\na: 1"), HasSubstr("line 3: tensor 'a' is given twice"));
  EXPECT_EQ(message_of([] { table_from_text("TRT-8601\na: 0"); }),
            "TensorRT calibration cache, line 1: the header is not TRT-<version>-<algorithm>");
}

TEST(Aimet, Version061) {
  const CalibrationTable table = table_from_text(R"({
    "activation_encodings": {
      "input": [{"bitwidth": 8, "dtype": "int", "is_symmetric": "False",
                 "max": 2.5, "min": -0.5, "offset": -43, "scale": 0.011764}],
      "conv1": [{"bitwidth": 8, "dtype": "int", "is_symmetric": "True",
                 "max": 1.27, "min": -1.28, "offset": -128, "scale": 0.01}],
      "relu1": [{"bitwidth": 8, "dtype": "int", "is_symmetric": true,
                 "max": 2.55, "min": 0.0, "offset": 0, "scale": 0.01}],
      "no_scale": [{"bitwidth": 8, "is_symmetric": "True", "max": 1.0, "min": -1.0}],
      "half": [{"bitwidth": 16, "dtype": "float"}]
    },
    "param_encodings": {"conv1.weight": [{"bitwidth": 8, "max": 1.0, "min": -1.0}]},
    "version": "0.6.1"})");
  EXPECT_EQ(table.calibrator, "AIMET");
  EXPECT_EQ(table.ranges.size(), 4u);
  EXPECT_EQ(table.ranges.at("input"), (Range{-0.5f, 2.5f}));
  EXPECT_FLOAT_EQ(symmetric_scale(table.ranges.at("conv1").amax()), 0.01f);
  EXPECT_EQ(table.ranges.at("relu1").low, 0.0f);
  EXPECT_FLOAT_EQ(table.ranges.at("relu1").high, 2.55f);
  EXPECT_EQ(table.ranges.at("no_scale"), (Range{-1, 1}));
}

TEST(Aimet, Version100) {
  const CalibrationTable table = table_from_text(R"({
    "version": "1.0.0",
    "activation_encodings": [
      {"name": "input", "bw": 8, "dtype": "INT", "enc_type": "PER_TENSOR", "is_sym": false,
       "scale": [0.02], "offset": [-50]},
      {"name": "conv1", "bw": 4, "dtype": "INT", "enc_type": "PER_TENSOR", "is_sym": true,
       "scale": [0.5], "offset": [-8]},
      {"name": "split", "bw": 8, "dtype": "INT", "enc_type": "PER_CHANNEL", "is_sym": true,
       "scale": [0.01, 0.03], "offset": [-128, -128]},
      {"name": "soft", "bw": 16, "dtype": "FLOAT", "enc_type": "PER_TENSOR"}],
    "param_encodings": []})");
  EXPECT_EQ(table.ranges.size(), 3u);
  EXPECT_FLOAT_EQ(table.ranges.at("input").low, -1.0f);
  EXPECT_FLOAT_EQ(table.ranges.at("input").high, 4.1f);
  EXPECT_FLOAT_EQ(symmetric_scale(table.ranges.at("conv1").amax(), 4), 0.5f);
  EXPECT_FLOAT_EQ(table.ranges.at("split").high, 3.81f);
}

TEST(Aimet, RefusesWhatIsMalformed) {
  const auto error = [](const std::string& activations) {
    return message_of([&] { table_from_text("{\"activation_encodings\": " + activations + "}"); });
  };
  EXPECT_EQ(error("{\"a\": [{\"bitwidth\": 8, \"max\": 1, \"min\": 0}]"),
            "AIMET encodings: this is not JSON, or it was cut off");
  EXPECT_EQ(error("3"), "AIMET encodings: \"activation_encodings\" is neither a list nor an object");
  EXPECT_THAT(error("{\"conv1\": {\"output\": {\"0\": {}}}}"),
              HasSubstr("'conv1' has no list of encodings; a file by layer (of AIMET for PyTorch)"));
  EXPECT_EQ(error("[{\"bw\": 8}]"), "AIMET encodings: an activation encoding has no \"name\"");
  EXPECT_EQ(error("{\"a\": [7]}"), "AIMET encodings: the encoding of 'a' is not an object");
  EXPECT_THAT(error("{\"a\": [{\"bitwidth\": 8}]}"),
              HasSubstr("has neither min and max nor scale and offset"));
  EXPECT_THAT(error("{\"a\": [{\"min\": 1, \"max\": 0}]}"), HasSubstr("runs backwards"));
  EXPECT_THAT(error("{\"a\": [{\"min\": 0, \"max\": 1e300}]}"), HasSubstr("is beyond float32"));
  EXPECT_THAT(error("{\"a\": [{\"min\": 0, \"max\": \"x\"}]}"), HasSubstr("has no number 'max'"));
  EXPECT_THAT(error("{\"a\": [{\"is_symmetric\": 3, \"min\": 0, \"max\": 1}]}"),
              HasSubstr("neither true nor false"));
  const std::string one = "{\"name\": \"a\", \"bw\": 8, \"scale\": [1], \"offset\": [0]}";
  EXPECT_EQ(error("[" + one + "]"), "no error");
  EXPECT_EQ(error("[" + one + "," + one + "]"), "AIMET encodings: tensor 'a' is given twice");
  EXPECT_THAT(error("[{\"name\": \"a\", \"bw\": 99, \"scale\": [1], \"offset\": [0]}]"),
              HasSubstr("has no bit width from 2 to 32"));
  EXPECT_THAT(error("[{\"name\": \"a\", \"bw\": 8, \"scale\": [-1], \"offset\": [0]}]"),
              HasSubstr("has a scale below 0"));
  EXPECT_THAT(error("[{\"name\": \"a\", \"bw\": 8, \"scale\": [1, 2], \"offset\": [0]}]"),
              HasSubstr("has neither min and max nor scale and offset"));
}

TEST(RangesFile, KindIsToldByContent) {
  EXPECT_EQ(table_from_text("{\"format\": \"kvant-ranges\", \"version\": 1, \"ranges\": {\"a\": [0, 1]}}")
                .ranges.at("a"),
            (Range{0, 1}));
  for (const char* nothing : {"", "hello", "\x08\x07pytorch"}) {
    EXPECT_THAT(message_of([&] { table_from_text(nothing); }),
                HasSubstr("this holds no ranges: give a ranges"));
  }
}

TEST(RangesFile, MergeIsTheUnion) {
  CalibrationTable all;
  merge_ranges(all, {.calibrator = "max", .samples = 10, .ranges = {{"a", {-1, 2}}, {"b", {0, 1}}}});
  merge_ranges(all, {.calibrator = "max", .samples = 5, .ranges = {{"a", {0, 3}}, {"c", {-4, -3}}}});
  EXPECT_EQ(all, (CalibrationTable{.calibrator = "max",
                                   .samples = 15,
                                   .ranges = {{"a", {-1, 3}}, {"b", {0, 1}}, {"c", {-4, -3}}}}));
  merge_ranges(all, {.calibrator = "mse", .samples = 1, .ranges = {{"a", {0, 1}}, {"d", {0, 9}}}});
  EXPECT_EQ(all.calibrator, "");
  EXPECT_EQ(all.ranges.at("a"), (Range{-1, 3}));
  EXPECT_EQ(all.calibrator_of.at("d"), "mse");
  EXPECT_FALSE(all.calibrator_of.contains("a"));
  EXPECT_EQ(table_from_json(to_json(all)), all);
}

TEST(RangesFile, NamesThatTheModelDoesNotHave) {
  const ir::Graph graph = ir::parse(R"(graph "g" { input %image: f32[N,4]
    %conv1_out = Relu "r" (%image)
    output %conv1_out })");
  CalibrationTable table{.calibrator = "max", .ranges = {{"image", {0, 1}}, {"conv1_out", {0, 1}}}};
  EXPECT_EQ(unmatched_ranges(graph, table), "");
  table.ranges["conv1_ouf"] = {0, 1};
  EXPECT_EQ(
      unmatched_ranges(graph, table),
      "1 of 3 loaded ranges name no tensor of the model and are not used: 'conv1_ouf' (nearest: conv1_out, "
      "image)");
  for (int i = 0; i < 4; ++i) table.ranges["x" + std::to_string(i)] = {0, 1};
  EXPECT_THAT(unmatched_ranges(graph, table), HasSubstr("5 of 7 loaded ranges"));
  EXPECT_THAT(unmatched_ranges(graph, table), HasSubstr("and 2 more"));
}

}  // namespace
}  // namespace kvant::quant
