// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_kernels.h"

#include <algorithm>
#include <charconv>

#include "backends/cpu/kernels/qconv/qconv.h"
#include "base/random.h"
#include "engine/run/team.h"
#include "report/table.h"
#include "tensor/tensor.h"

namespace kvant::cli {
namespace {

using backends::cpu::ConvShape;

[[noreturn]] void refuse(const std::string& text) {
  throw UsageError(fmt::format(
      "--shape takes HxWxC:K:KHxKW[:STRIDE[:PAD[:GROUP]]], such as 56x56x64:64:3x3:1:1; got '{}'", text));
}

// Numbers between 'x' and ':', each with what stood before it.
std::vector<std::pair<char, int64_t>> numbers_of(const std::string& text) {
  std::vector<std::pair<char, int64_t>> numbers;
  char before = ':';
  for (const char* at = text.data(); at != text.data() + text.size() + 1;) {
    int64_t number = 0;
    const auto [end, code] = std::from_chars(at, text.data() + text.size(), number);
    if (code != std::errc() || number < 0 || number > 65536) refuse(text);
    numbers.emplace_back(before, number);
    before = *end;
    if (before != 'x' && before != ':' && before != '\0') refuse(text);
    at = end + 1;
  }
  return numbers;
}

ConvShape shape_of(const std::string& text) {
  const auto numbers = numbers_of(text);
  std::string marks;
  for (const auto& [mark, number] : numbers) marks += mark;
  if (marks.size() < 6 || !std::string(":xx::x:::").starts_with(marks)) refuse(text);
  const auto number = [&](size_t i, int64_t fallback) {
    return i < numbers.size() ? numbers[i].second : fallback;
  };
  ConvShape s;
  s.h = number(0, 1), s.w = number(1, 1), s.c = number(2, 1), s.k = number(3, 1), s.kh = number(4, 1),
  s.kw = number(5, 1), s.stride_h = s.stride_w = number(6, 1), s.top = s.left = number(7, 0),
  s.group = number(8, 1);
  const bool positive = std::min({s.h, s.w, s.c, s.k, s.kh, s.kw, s.stride_h, s.group}) > 0;
  if (!positive || s.c % s.group != 0 || s.k % s.group != 0) refuse(text);
  s.ho = (s.h + 2 * s.top - s.kh) / s.stride_h + 1;
  s.wo = (s.w + 2 * s.left - s.kw) / s.stride_w + 1;
  if (s.h + 2 * s.top < s.kh || s.w + 2 * s.left < s.kw) refuse(text);
  if (s.ho * s.wo * s.k > (1 << 28) || s.h * s.w * s.c > (1 << 28)) refuse(text);
  return s;
}

// Codes of the activation's values, as a scale of a fiftieth has them.
void add_activation(const std::string& text, backends::cpu::Epilogue& epilogue) {
  const auto activation = activation_named(text);
  if (!activation) {
    throw UsageError(fmt::format(
        "--activation '{}' is not one of the engine's: Relu, LeakyRelu, HardSwish, HardSigmoid, Silu, Gelu, "
        "Sigmoid, Tanh, Elu, Softplus, Mish",
        text));
  }
  epilogue.activation = *activation;
  epilogue.alpha = 0.2f;
  epilogue.beta = 0.5f;
  epilogue.inverse_scale = 50.0f;
  epilogue.zero_point = 20;
  add_curve(epilogue);
}

Tensor random_bytes(DType dtype, int64_t count, Random& random) {
  Tensor tensor(dtype, {count + 64});
  std::byte* bytes = tensor.mutable_raw();
  for (size_t i = 0; i < tensor.byte_size(); ++i) bytes[i] = static_cast<std::byte>(random.next());
  return tensor;
}

Samples time_kernel(const backends::cpu::QConvKernel& kernel, const backends::cpu::QConvDesc& desc,
                    engine::SpinningTeam& team, const SamplingOptions& sampling, Progress& progress) {
  const ConvShape& s = desc.shape;
  Random random(1);
  const Tensor x = random_bytes(DType::UInt8, s.h * s.w * s.c, random);
  const Tensor w = random_bytes(DType::Int8, s.k * s.kh * s.kw * s.group_c(), random);
  const std::vector<float> multiplier(static_cast<size_t>(s.k), 1e-4f), bias(multiplier.size(), 0.5f);
  Tensor packed(DType::UInt8, {static_cast<int64_t>(kernel.packed_bytes(desc))});
  kernel.pack(desc, {w.data<int8_t>().data(), multiplier.data(), bias.data()}, packed.mutable_raw());
  Tensor y(DType::UInt8, {s.ho * s.wo * s.k + 64});
  Tensor scratch(DType::UInt8, {static_cast<int64_t>(kernel.scratch_bytes(desc)) * team.size() + 64});
  const backends::cpu::QConvPointers pointers{packed.raw(), x.data<uint8_t>().data(), nullptr,
                                              y.mutable_data<uint8_t>().data(), scratch.mutable_raw()};
  return take_samples(
      [&] { team.run([&](int thread, int threads) { kernel.run(desc, pointers, thread, threads); }); },
      [&](const std::function<void(int, int)>& fn) { team.run(fn); }, sampling, progress);
}

}  // namespace

Result bench_kernels(const Flags& flags, const SamplingOptions& sampling, Progress& progress) {
  if (!flags.given("shape")) throw UsageError("'bench kernels' needs --shape, such as 56x56x64:64:3x3:1:1");
  backends::cpu::QConvDesc desc;
  desc.shape = shape_of(flags.text("shape"));
  if (flags.given("activation")) add_activation(flags.text("activation"), desc.epilogue);
  const ConvShape& s = desc.shape;
  const int64_t macs = s.ho * s.wo * s.k * s.kh * s.kw * s.group_c();
  engine::SpinningTeam team(threads_of(flags), false);
  using report::Align;
  report::Table table({"kernel", "min ms", "median ms", "GMAC/s", "of peak"},
                      {Align::Left, Align::Right, Align::Right, Align::Right, Align::Right});
  Result result;
  result.json = {
      {"shape", flags.text("shape")}, {"threads", team.size()}, {"macs", macs}, {"kernels", Json::array()}};
  for (const backends::cpu::QConvKernel& kernel : backends::cpu::qconv_kernels()) {
    if (!supports(kernel.isa) || !kernel.why_not(desc).empty()) continue;
    const Samples samples = time_kernel(kernel, desc, team, sampling, progress);
    const double gmacs = static_cast<double>(macs) * 1e-6 / samples.at(0.5);
    result.json["kernels"].push_back({{"name", kernel.name},
                                      {"latency_ms", latency_json(samples)},
                                      {"gmacs", gmacs},
                                      {"canary", canary_json(samples, macs)}});
    table.add({std::string(kernel.name), fmt::format("{:.4f}", samples.ms.front()),
               fmt::format("{:.4f}", samples.at(0.5)), fmt::format("{:.1f}", gmacs),
               fmt::format("{:.1f} %", 100 * gmacs / samples.peak())});
  }
  result.text = table.text();
  return result;
}

}  // namespace kvant::cli
