// SPDX-License-Identifier: Apache-2.0
// Random convolutions and their result by definition, for tests of the convolution kernels in the emulator.
#pragma once

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "backends/cuda/emulator/emulator.h"
#include "backends/cuda/kernels/conv/conv.h"
#include "base/error.h"
#include "base/random.h"
#include "tensor/quantize.h"

namespace kvant::backends::cuda {

inline ConvShape conv_shape(int64_t h, int64_t w, int64_t c, int64_t k, int64_t kernel, int64_t stride,
                            int64_t pad, int64_t group = 1, int64_t dilation = 1, int64_t n = 1) {
  ConvShape s;
  s.n = n, s.h = h, s.w = w, s.c = c, s.k = k, s.kh = s.kw = kernel, s.stride_h = s.stride_w = stride;
  s.top = s.left = pad, s.dilation_h = s.dilation_w = dilation, s.group = group;
  s.ho = (h + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
  s.wo = (w + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
  return s;
}

inline std::string to_text(const ConvShape& s) {
  return fmt::format("[{},{},{},{}] {}x{}/{},{} pad {},{} dilation {},{} group {} -> {}", s.n, s.h, s.w, s.c,
                     s.kh, s.kw, s.stride_h, s.stride_w, s.top, s.left, s.dilation_h, s.dilation_w, s.group,
                     s.k);
}

// Memory that starts at a multiple of 256 bytes, as device memory does.
class DeviceBytes {
 public:
  explicit DeviceBytes(size_t bytes, uint8_t fill = 0)
      : bytes_(bytes), storage_(static_cast<uint8_t*>(std::aligned_alloc(256, bytes / 256 * 256 + 256))) {
    std::memset(storage_.get(), fill, bytes);
  }
  template <class T>
  explicit DeviceBytes(const std::vector<T>& values) : DeviceBytes(values.size() * sizeof(T)) {
    if (bytes_ > 0) std::memcpy(storage_.get(), values.data(), bytes_);
  }
  uint8_t* data() const { return storage_.get(); }
  size_t size() const { return bytes_; }
  std::vector<uint8_t> copy() const { return {storage_.get(), storage_.get() + bytes_}; }

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  size_t bytes_;
  std::unique_ptr<uint8_t, Free> storage_;
};

// Random operands whose results spread over the range of the output's codes.
struct ConvCase {
  ConvDesc desc;
  std::vector<uint8_t> x, residual;
  std::vector<int8_t> w;
  std::vector<float> multiplier, bias;
  std::vector<uint8_t> table;
  Random random;

  ConvCase(const ConvShape& shape, uint64_t seed) : random(seed) {
    desc.shape = shape;
    x.resize(static_cast<size_t>(shape.n * shape.h * shape.w * shape.c));
    w.resize(static_cast<size_t>(shape.k * shape.kh * shape.kw * shape.group_c()));
    multiplier.resize(static_cast<size_t>(shape.k));
    bias.resize(multiplier.size());
    for (uint8_t& v : x) v = static_cast<uint8_t>(random.next());
    for (int8_t& v : w) v = static_cast<int8_t>(random.next());
    desc.x_zero_point = static_cast<int32_t>(random.below(256));
    desc.epilogue.out.zero_point = static_cast<int32_t>(random.below(256));
    set_scales();
  }

  void set_form(Code output, Code residual_code, Activation activation, bool x_signed) {
    Epilogue& e = desc.epilogue;
    e.output = output;
    e.residual = residual_code;
    e.activation = activation;
    e.alpha = activation == Activation::Clip ? -0.7f : 0.2f;
    e.beta = activation == Activation::Clip ? 0.9f : 0.5f;
    e.inverse_scale = 60.0f;
    e.out.low = output == Code::I8 ? -128 : 0;
    e.out.high = output == Code::I8 ? 127 : 255;
    if (output == Code::I8) e.out.zero_point -= 128;
    desc.x_signed = x_signed;
    if (x_signed) desc.x_zero_point -= 128;
    e.residual_multiplier = residual_code == Code::None ? 0.0f : 0.37f;
    e.residual_zero_point = residual_code == Code::U8 ? 113 : residual_code == Code::I8 ? -9 : 0;
    const auto count = static_cast<size_t>(results());
    residual.assign(residual_code == Code::None ? 0 : count * static_cast<size_t>(code_bytes(residual_code)),
                    0);
    if (residual_code == Code::F32) {
      for (size_t i = 0; i < count; ++i) {
        const float value = random.uniform(-90.0f, 90.0f);
        std::memcpy(&residual[4 * i], &value, 4);
      }
    } else {
      for (uint8_t& v : residual) v = static_cast<uint8_t>(random.next());
    }
    set_scales();
  }

  // A table behind the codes.
  void set_table() {
    desc.table = true;
    table.resize(256);
    for (uint8_t& v : table) v = static_cast<uint8_t>(random.next());
  }

  int64_t results() const { return desc.shape.n * desc.shape.ho * desc.shape.wo * desc.shape.k; }

  std::vector<uint8_t> reference() const {
    const ConvShape& s = desc.shape;
    const Epilogue& e = desc.epilogue;
    std::vector<uint8_t> y(static_cast<size_t>(results() * code_bytes(e.output)));
    for (int64_t i = 0; i < results(); ++i) {
      const int64_t pixel = i / s.k, k = i % s.k;
      const auto channel = static_cast<size_t>(k);
      float v = std::fma(static_cast<float>(sum(pixel, k)), multiplier[channel], bias[channel]);
      if (e.residual != Code::None) v = std::fma(residual_at(i), e.residual_multiplier, v);
      if (e.activation != Activation::None) v = activate(e.activation, v, e.alpha, e.beta);
      if (!e.codes()) {
        std::memcpy(&y[static_cast<size_t>(4 * i)], &v, 4);
        continue;
      }
      if (e.activation != Activation::None) v *= e.inverse_scale;
      const int64_t code = static_cast<int64_t>(round_even(v)) + e.out.zero_point;
      const auto byte = static_cast<uint8_t>(std::clamp<int64_t>(code, e.out.low, e.out.high));
      y[static_cast<size_t>(i)] = desc.table ? table[byte] : byte;
    }
    return y;
  }

  // Runs a tactic in the emulator, on memory of exactly the right size.
  std::vector<uint8_t> run(std::string_view tactic, const emulator::Options& options = {},
                           emulator::Counters* counters = nullptr) const {
    return run_kernel(tactic, nullptr, options, counters);
  }

  // The same launch with another kernel in the tactic's place, `runs` times.
  std::vector<uint8_t> run_kernel(std::string_view tactic, const Kernel* kernel,
                                  const emulator::Options& options = {},
                                  emulator::Counters* counters = nullptr, int runs = 1) const;

 private:
  void set_scales() {
    const ConvShape& s = desc.shape;
    const float spread = std::sqrt(static_cast<float>(s.kh * s.kw * s.group_c())) * 74.0f * 74.0f;
    const float range = desc.epilogue.activation == Activation::None ? 70.0f : 1.5f;
    for (size_t i = 0; i < multiplier.size(); ++i) {
      multiplier[i] = range / spread * random.uniform(0.5f, 1.5f);
      bias[i] = random.uniform(-0.3f, 0.3f) * range;
    }
    if (desc.epilogue.activation != Activation::None) desc.epilogue.residual_multiplier /= 60.0f;
  }

  float residual_at(int64_t i) const {
    const auto at = static_cast<size_t>(i);
    if (desc.epilogue.residual == Code::F32) {
      float value;
      std::memcpy(&value, &residual[4 * at], 4);
      return value;
    }
    const int32_t code =
        desc.epilogue.residual == Code::I8 ? static_cast<int8_t>(residual[at]) : residual[at];
    return static_cast<float>(code - desc.epilogue.residual_zero_point);
  }

  int32_t sum(int64_t pixel, int64_t k) const {
    const ConvShape& s = desc.shape;
    const int64_t n = pixel / (s.ho * s.wo), y0 = pixel / s.wo % s.ho * s.stride_h - s.top;
    const int64_t x0 = pixel % s.wo * s.stride_w - s.left, group = k / s.group_k();
    int32_t acc = 0;
    for (int64_t i = 0; i < s.kh; ++i) {
      for (int64_t j = 0; j < s.kw; ++j) {
        const int64_t row = y0 + i * s.dilation_h, column = x0 + j * s.dilation_w;
        if (row < 0 || row >= s.h || column < 0 || column >= s.w) continue;
        const uint8_t* codes = &x[static_cast<size_t>(((n * s.h + row) * s.w + column) * s.c)];
        const int8_t* taps = &w[static_cast<size_t>(((k * s.kh + i) * s.kw + j) * s.group_c())];
        for (int64_t c = 0; c < s.group_c(); ++c) {
          const uint8_t bits = codes[group * s.group_c() + c];
          const int32_t code = desc.x_signed ? static_cast<int8_t>(bits) : bits;
          acc += (code - desc.x_zero_point) * taps[c];
        }
      }
    }
    return acc;
  }
};

// Everything that a launch of a case reads and writes, on memory of exactly the right size.
struct PreparedConv {
  // `packed`: constants of another one with the same tactic and weights; none: its own.
  PreparedConv(const ConvCase& test, std::string_view tactic, const DeviceBytes* packed = nullptr,
               size_t behind = 0)
      : own(packed == nullptr ? conv_packed_bytes(test.desc, tactic) : 0, 0xA5),
        constants(packed == nullptr ? &own : packed),
        x(test.x),
        residual(test.residual),
        bytes(static_cast<size_t>(test.results() * code_bytes(test.desc.epilogue.output))),
        y(bytes + behind, 0xEE),
        room(conv_room(test.desc, tactic)),
        scratch(room.scratch_bytes, 0xB7),
        counters(room.counter_bytes) {
    if (packed == nullptr) {
      pack_conv(test.desc, tactic,
                {test.w.data(), test.multiplier.data(), test.bias.data(), test.table.data()},
                reinterpret_cast<std::byte*>(own.data()));
    }
    before = constants->copy();
    launch = conv_launch(test.desc, tactic,
                         {.packed = constants->data(),
                          .x = x.data(),
                          .residual = test.residual.empty() ? nullptr : residual.data(),
                          .y = y.data(),
                          .scratch = scratch.data(),
                          .counters = counters.data()});
  }
  PreparedConv(const PreparedConv&) = delete;
  PreparedConv& operator=(const PreparedConv&) = delete;

  // Fails when the kernel wrote where it must not.
  std::vector<uint8_t> result() const {
    std::vector<uint8_t> all = y.copy();
    for (size_t i = bytes; i < all.size(); ++i) {
      if (all[i] != 0xEE) fail("the kernel wrote behind its result");
    }
    if (constants->copy() != before) fail("the kernel wrote into its constants");
    for (const uint8_t byte : counters.copy()) {
      if (byte != 0) fail("the kernel left a counter that is not zero");
    }
    all.resize(bytes);
    return all;
  }

  DeviceBytes own;
  const DeviceBytes* constants;
  DeviceBytes x, residual;
  size_t bytes;
  DeviceBytes y;
  Room room;
  DeviceBytes scratch, counters;
  std::vector<uint8_t> before;
  Launch launch;
};

inline std::vector<uint8_t> ConvCase::run_kernel(std::string_view tactic, const Kernel* kernel,
                                                 const emulator::Options& options,
                                                 emulator::Counters* counters, int runs) const {
  const size_t behind = kernel != nullptr ? static_cast<size_t>(4 * 128 * desc.shape.k) : 0;
  PreparedConv prepared(*this, tactic, nullptr, behind);
  if (kernel != nullptr) prepared.launch.kernel = kernel;
  for (int run = 0; run < runs; ++run) {
    std::memset(prepared.y.data(), 0xEE, prepared.y.size());
    prepared.launch.kernel->emulate(prepared.launch, options, run == 0 ? counters : nullptr);
  }
  return prepared.result();
}

}  // namespace kvant::backends::cuda
