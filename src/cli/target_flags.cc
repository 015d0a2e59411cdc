// SPDX-License-Identifier: Apache-2.0
#include "cli/target_flags.h"

namespace kvant::cli {
namespace {

std::vector<std::string> target_names() {
  std::vector<std::string> names;
  for (const quant::Target& target : quant::targets()) names.emplace_back(target.name);
  return names;
}

}  // namespace

std::vector<Flag> target_flags() {
  return {
      {.name = "target",
       .value = "NAME",
       .help = "the runtime that the file is for",
       .fallback = "tensorrt",
       .choices = target_names()},
      {.name = "activations",
       .value = "TYPE",
       .help =
           "codes of activations: int8 or, for the target onnxruntime, uint8 (the same codes 128 apart) "
           "around zero; affine: uint8 over the whole range, twice as fine after a ReLU, for all targets "
           "but tensorrt (default: affine for kvant, uint8 for onnxruntime, int8 elsewhere and below 8 bits)",
       .choices = {"int8", "uint8", "affine"}},
      {.name = "fp16", .value = "", .help = "float tensors as float16 (opset 19), for the target tensorrt"}};
}

quant::TargetOptions target_options_of(const Flags& flags) {
  quant::TargetOptions options;
  if (flags.given("activations")) {
    const std::string target = flags.text("target"), type = flags.text("activations");
    if (type == "affine" && target == "tensorrt")
      throw UsageError("--activations affine: TensorRT quantizes symmetrically only; take another --target");
    if (type == "uint8" && target != "onnxruntime") {
      throw UsageError(fmt::format(
          "--activations uint8 goes with --target onnxruntime, not with {}: int8 has the same codes",
          target));
    }
    if (type != "affine") options.activations = type == "uint8" ? DType::UInt8 : DType::Int8;
  }
  options.fp16 = flags.on("fp16");
  if (options.fp16 && flags.text("target") != "tensorrt") {
    throw UsageError(fmt::format("--fp16 goes with --target tensorrt, not with {}", flags.text("target")));
  }
  return options;
}

quant::Codes activation_codes_of(const Flags& flags, int bits) {
  if (flags.given("activations"))
    return flags.text("activations") == "affine" ? quant::Codes::Affine : quant::Codes::Symmetric;
  return quant::activation_codes(flags.text("target"), bits);
}

int target_opset(const Flags& flags) {
  const auto opset = static_cast<int>(flags.integer("opset", 13, 21));
  return flags.on("fp16") ? std::max(opset, 19) : opset;
}

Json to_json(const quant::TargetReport& report) {
  Json left = Json::array();
  for (const quant::LeftFloat& layer : report.left_float)
    left.push_back({{"name", layer.node}, {"reason", layer.reason}});
  return {{"shifted_tensors", report.shifted_tensors},
          {"biases", report.biases},
          {"output_pairs_added", report.output_pairs_added},
          {"output_pairs_dropped", report.output_pairs_dropped},
          {"half_tensors", report.half_tensors},
          {"exact", report.exact},
          {"left_float", std::move(left)}};
}

std::string text_of(const quant::TargetReport& report) {
  std::string text;
  const auto say = [&](int64_t count, const char* what) {
    if (count > 0) text += fmt::format("{:>6} {}\n", count, what);
  };
  say(report.shifted_tensors, "tensors between uint8 and int8, 128 apart");
  say(report.biases, "biases rewritten");
  say(report.output_pairs_added, "pairs added behind convolutions");
  say(report.output_pairs_dropped, "pairs taken from behind weighted layers");
  say(report.half_tensors, "tensors in float16");
  for (const quant::LeftFloat& layer : report.left_float)
    text += fmt::format("   float: {}: {}\n", layer.node, layer.reason);
  return text;
}

}  // namespace kvant::cli
