// SPDX-License-Identifier: Apache-2.0
#include "quant/spec/read_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "base/error.h"
#include "base/file.h"

namespace kvant::quant {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

const char* const kJson = R"({"layers": [
  {"name": "conv2_block1_1_conv", "quantize_input": false, "quantize_weight": false},
  {"name": "re:block[0-9]+_add", "inputs": [1]},
  {"class": "MaxPool"},
  {"class": "DepthwiseConv", "bits": 4, "calibrator": "percentile"}]})";

const char* const kToml = R"(# the same as TOML
[[layers]]
name = "conv2_block1_1_conv"
quantize_input = false
quantize_weight = false

[[layers]]
name = 're:block[0-9]+_add'
inputs = [1]

[[layers]]
class = "MaxPool"
[[layers]]
class = "DepthwiseConv"
bits = 4
calibrator = "percentile"
)";

Spec expected() {
  return {{{.name = "conv2_block1_1_conv", .quantize_input = false, .quantize_weight = false},
           {.name = "re:block[0-9]+_add", .inputs = {1}},
           {.layer_class = "MaxPool"},
           {.layer_class = "DepthwiseConv", .bits = 4, .calibrator = "percentile"}}};
}

std::string said(const std::function<void()>& fn) {
  try {
    fn();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}
std::string said_of_json(const std::string& text) {
  return said([&] { spec_from_json(text); });
}
std::string said_of_toml(const std::string& text) {
  return said([&] { spec_from_toml(text); });
}
std::string said_of_entry(const std::string& entry) {
  return said_of_json("{\"layers\": [{\"name\": \"a\"}, " + entry + "]}");
}

TEST(ReadSpec, JsonAndTomlSayTheSame) {
  EXPECT_EQ(spec_from_json(kJson), expected());
  Spec toml = spec_from_toml(kToml);
  EXPECT_EQ(toml.layers.at(1).line, 7);
  EXPECT_EQ(describe(toml, 1), "spec entry 2 (line 7), name 're:block[0-9]+_add'");
  EXPECT_EQ(describe(toml, 2), "spec entry 3 (line 11), class 'MaxPool'");
  for (SpecEntry& entry : toml.layers) entry.line = 0;
  EXPECT_EQ(toml, expected());
  EXPECT_EQ(spec_from_toml("layers = [{name = \"a\", bits = 3}]").layers.at(0).bits, 3);
  EXPECT_TRUE(spec_from_json("{\"layers\": []}").layers.empty());
}

TEST(ReadSpec, WhatIsWrittenReadsBack) {
  EXPECT_EQ(spec_from_json(to_json(expected())), expected());
  EXPECT_EQ(to_json({{{.name = "a"}}}), "{\n  \"layers\": [\n    {\n      \"name\": \"a\"\n    }\n  ]\n}\n");
}

TEST(ReadSpec, TheFormatIsTold) {
  const auto folder = std::filesystem::path(testing::TempDir());
  const auto read = [&](const char* name, const char* text) {
    write_text(folder / name, text);
    Spec spec = read_spec(folder / name);
    for (SpecEntry& entry : spec.layers) entry.line = 0;
    return spec;
  };
  EXPECT_EQ(read("s.json", kJson), expected());
  EXPECT_EQ(read("s.toml", kToml), expected());
  EXPECT_EQ(read("s.spec", kJson), expected());
  EXPECT_EQ(read("s", kToml), expected());
  write_text(folder / "bad.toml", "layers = [");
  try {
    read_spec(folder / "bad.toml");
    FAIL() << "read what is no TOML";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), StartsWith("the spec is not TOML: line 1, column "));
    EXPECT_THAT(error.trail(), testing::ElementsAre(HasSubstr("bad.toml")));
  }
  EXPECT_THAT(said([&] { read_spec(folder / "absent.json"); }), HasSubstr("absent.json"));
}

TEST(ReadSpec, RefusesWrongEntries) {
  EXPECT_EQ(said_of_entry(R"({"nmae": "b"})"),
            "spec entry 2 has an unknown key 'nmae' (nearest: name, class, bits)");
  EXPECT_EQ(said_of_entry(R"({"name": "b", "bits": 9})"), "spec entry 2: 9 bits: quantization takes 2 to 8");
  EXPECT_EQ(said_of_entry(R"({"name": "b", "bits": 1})"), "spec entry 2: 1 bits: quantization takes 2 to 8");
  EXPECT_EQ(said_of_entry(R"({"name": "b", "bits": 0})"), "spec entry 2: 0 bits: quantization takes 2 to 8");
  EXPECT_EQ(said_of_entry(R"({"name": "b", "bits": 4.5})"), "spec entry 2: 'bits' takes whole numbers");
  EXPECT_EQ(said_of_entry(R"({"name": "b", "bits": 99999999999})"), "spec entry 2: 'bits' is out of range");
  EXPECT_EQ(said_of_entry(R"({"name": "b", "inputs": 1})"),
            "spec entry 2: 'inputs' takes a list of whole numbers");
  EXPECT_EQ(said_of_entry(R"({"name": "b", "inputs": [-1]})"),
            "spec entry 2, name 'b': input -1: inputs are counted from 0");
  EXPECT_EQ(said_of_entry(R"({"name": "b", "quantize_input": 0})"),
            "spec entry 2: 'quantize_input' takes true or false");
  EXPECT_EQ(said_of_entry(R"({"name": 3})"), "spec entry 2: 'name' takes a text in quotes");
  EXPECT_EQ(said_of_entry(R"({"name": ""})"), "spec entry 2: 'name' takes a text in quotes");
  EXPECT_EQ(said_of_entry("{}"), "spec entry 2 needs either \"name\" or \"class\"");
  EXPECT_EQ(said_of_entry(R"({"name": "b", "class": "Conv"})"),
            "spec entry 2 needs either \"name\" or \"class\", not both");
  EXPECT_EQ(said_of_entry("3"), "spec entry 2 is not a table of keys and values");
  EXPECT_THAT(said_of_entry(R"({"name": "b", "calibrator": "percentil"})"),
              StartsWith("spec entry 2, name 'b': there is no calibrator 'percentil' (nearest: percentile"));
  EXPECT_THAT(said_of_entry(R"({"name": "re:conv["})"),
              StartsWith("spec entry 2, name 're:conv[': not a regular expression: "));
  EXPECT_EQ(said_of_toml("[[layers]]\nname = 'a'\n\n[[layers]]\nname = 'b'\nbits = 9\n"),
            "spec entry 2 (line 4): 9 bits: quantization takes 2 to 8");
  EXPECT_EQ(said_of_toml("[[layers]]\nclas = 'Conv'\n"),
            "spec entry 1 (line 1) has an unknown key 'clas' (nearest: class, bits, name)");
}

TEST(ReadSpec, RefusesWrongFiles) {
  EXPECT_THAT(said_of_json("{\"layers\": [}"),
              StartsWith("the spec is not JSON: parse error at line 1, column 13"));
  EXPECT_EQ(said_of_json("[]"), "a spec is a table with the key 'layers'");
  EXPECT_EQ(said_of_json("{}"), "a spec has the key 'layers', a list of entries");
  EXPECT_EQ(said_of_json("{\"layers\": {}}"), "'layers' of a spec is a list of entries");
  EXPECT_EQ(said_of_json("{\"layer\": []}"),
            "unknown key 'layer' in a spec: it has one, 'layers', a list of entries");
  EXPECT_EQ(said_of_json(R"({"layers": [{"name": "a", "name": "b"}]})"),
            "the key 'name' is given twice in one entry of the spec");
  EXPECT_EQ(said_of_json("{\"layers\": " + std::string(40, '[') + std::string(40, ']') + "}"),
            "the spec is nested too deeply");
  EXPECT_EQ(said_of_toml("[[layers]]\nname = 1979-05-27\n"),
            "line 2 of the spec: dates and times mean nothing here");
  EXPECT_THAT(said_of_toml("[[layers]]\nname = \"a\"\nname = \"b\"\n"),
              StartsWith("the spec is not TOML: line 3, column "));
}

}  // namespace
}  // namespace kvant::quant
