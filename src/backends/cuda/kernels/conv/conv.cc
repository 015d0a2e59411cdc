// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/conv/conv.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "backends/cuda/kernels/conv/conv_params.h"
#include "backends/cuda/kernels/conv/conv_tactic.h"
#include "backends/cuda/kernels/conv/conv_warpgroup.h"
#include "base/error.h"
#include "base/nearest.h"

namespace kvant::backends::cuda {
namespace {

constexpr int64_t kBlobAlignment = 256;

int64_t rounded_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }
int64_t divided_up(int64_t value, int64_t by) { return (value + by - 1) / by; }

bool has_steps(const ConvDesc& desc) {
  return desc.epilogue.codes() && desc.epilogue.activation != Activation::None;
}

int64_t pitch(int64_t given, int64_t channels) { return given == 0 ? channels : given; }

// Where the parts of a packed blob lie.
struct Layout {
  int64_t padded_c = 0;  // bytes of a tap
  int64_t row_k = 0;     // bytes of a filter
  int64_t weights = 0, multiplier = 0, bias = 0, offset = 0, padding = 0, steps = 0, table = 0, total = 0;
};

Layout layout_of(const ConvDesc& desc, const ConvTactic& tactic) {
  const ConvShape& s = desc.shape;
  Layout l;
  switch (tactic.kind) {
    case ConvTactic::Kind::Tile:
      l.padded_c = rounded_up(s.group_c(), 16);
      l.row_k = rounded_up(s.kh * s.kw * l.padded_c, tactic.inner);
      break;
    case ConvTactic::Kind::Warpgroup:
      l.padded_c = rounded_up(s.c, tactic.inner);
      l.row_k = s.kh * s.kw * l.padded_c;
      break;
    case ConvTactic::Kind::Stem:
      l.padded_c = rounded_up(s.kw * s.c, 16);
      l.row_k = rounded_up(s.kh * l.padded_c, tactic.inner);
      break;
    case ConvTactic::Kind::Depthwise:
      l.padded_c = rounded_up(s.kw, 4);
      l.row_k = s.kh * l.padded_c;
      break;
    case ConvTactic::Kind::Direct:
      l.padded_c = s.group_c();
      l.row_k = s.kh * s.kw * l.padded_c;
      break;
  }
  int64_t at = 0;
  const auto place = [&at](int64_t& offset, int64_t bytes) {
    offset = at;
    at = rounded_up(at + bytes, kBlobAlignment);
  };
  place(l.weights, s.k * l.row_k);
  place(l.multiplier, 4 * s.k);
  place(l.bias, 4 * s.k);
  place(l.offset, 4 * s.k);
  place(l.padding, 16);
  if (has_steps(desc)) place(l.steps, sizeof(StepTable));
  if (desc.table) place(l.table, 256);
  l.total = at;
  return l;
}

const ConvTactic& checked_tactic(const ConvDesc& desc, std::string_view name) {
  std::vector<std::string> names;
  for (const ConvTactic& tactic : all_conv_tactics()) {
    names.push_back(tactic.name);
    if (tactic.name != name) continue;
    const std::string reason = why_not(desc, tactic);
    if (!reason.empty()) fail("cuda: tactic '{}' cannot run this convolution: {}", name, reason);
    return tactic;
  }
  fail("cuda: there is no tactic '{}' of convolutions{}", name, nearest_hint(name, names));
}

// One filter: taps in the order of the kernel that reads them.
void pack_filter(const ConvDesc& desc, const ConvTactic& tactic, const Layout& l, const int8_t* filter,
                 uint8_t* to) {
  const ConvShape& s = desc.shape;
  const int64_t c = s.group_c();
  for (int64_t r = 0; r < s.kh; ++r) {
    for (int64_t t = 0; t < s.kw; ++t) {
      const int8_t* tap = filter + (r * s.kw + t) * c;
      int64_t at = (r * s.kw + t) * l.padded_c;
      if (tactic.kind == ConvTactic::Kind::Stem) at = r * l.padded_c + t * c;
      if (tactic.kind == ConvTactic::Kind::Depthwise) at = r * l.padded_c + t;
      std::memcpy(to + at, tap, static_cast<size_t>(c));
    }
  }
}

// The zero point as the kernel sees codes: mma.sync and dp4a take u8 moved down by 128, wgmma as it is.
int32_t kernel_zero_point(const ConvDesc& desc, const ConvTactic& tactic) {
  const bool moved = !desc.x_signed && tactic.kind != ConvTactic::Kind::Warpgroup;
  return desc.x_zero_point - (moved ? 128 : 0);
}

EpilogueParams epilogue_params(const ConvDesc& desc, const Layout& l, const ConvPointers& p) {
  const auto* packed = static_cast<const std::byte*>(p.packed);
  const auto at = [packed](int64_t offset) { return static_cast<const void*>(packed + offset); };
  EpilogueParams e{};
  e.multiplier = static_cast<const float*>(at(l.multiplier));
  e.bias = static_cast<const float*>(at(l.bias));
  e.offset = static_cast<const int32_t*>(at(l.offset));
  e.steps = has_steps(desc) ? static_cast<const StepTable*>(at(l.steps)) : nullptr;
  e.table = desc.table ? static_cast<const uint8_t*>(at(l.table)) : nullptr;
  e.residual = static_cast<const uint8_t*>(p.residual);
  e.y = static_cast<uint8_t*>(p.y);
  e.y_pitch = pitch(desc.y_pitch, desc.shape.k);
  e.residual_pitch = pitch(desc.residual_pitch, desc.shape.k);
  e.form = desc.epilogue;
  const auto fours = [&desc](int64_t pixel, const void* first) {
    return pixel % 4 == 0 && desc.shape.group_k() % 4 == 0 && reinterpret_cast<uintptr_t>(first) % 4 == 0;
  };
  e.vector_y = fours(e.y_pitch, p.y);
  e.vector_residual = fours(e.residual_pitch, p.residual);
  return e;
}

ConvParams conv_params(const ConvDesc& desc, const Layout& l, const ConvPointers& pointers) {
  const ConvShape& s = desc.shape;
  const auto narrow = [](int64_t value) { return static_cast<int32_t>(value); };
  ConvParams p{};
  p.x = static_cast<const uint8_t*>(pointers.x);
  p.w = static_cast<const uint8_t*>(pointers.packed) + l.weights;
  p.padding = static_cast<const uint8_t*>(pointers.packed) + l.padding;
  p.epilogue = epilogue_params(desc, l, pointers);
  p.n = narrow(s.n), p.h = narrow(s.h), p.w_in = narrow(s.w), p.ho = narrow(s.ho), p.wo = narrow(s.wo);
  p.kh = narrow(s.kh), p.kw = narrow(s.kw), p.stride_h = narrow(s.stride_h), p.stride_w = narrow(s.stride_w);
  p.top = narrow(s.top), p.left = narrow(s.left);
  p.dilation_h = narrow(s.dilation_h), p.dilation_w = narrow(s.dilation_w);
  p.group = narrow(s.group), p.group_c = narrow(s.group_c()), p.group_k = narrow(s.group_k());
  p.padded_c = narrow(l.padded_c), p.row_k = narrow(l.row_k);
  p.x_pitch = pitch(desc.x_pitch, s.c);
  p.parts = static_cast<int32_t*>(pointers.scratch);
  p.arrivals = static_cast<uint32_t*>(pointers.counters);
  p.flip = desc.x_signed ? 0 : 0x80808080u;
  return p;
}

}  // namespace

std::vector<std::string> conv_tactics(const ConvDesc& desc, int sm, std::string& why) {
  struct Candidate {
    double cost;
    const ConvTactic* tactic;
  };
  if (has_steps(desc)) {
    StepTable table;
    if (!make_step_table(desc.epilogue, table)) {
      why = fmt::format("the codes of activation {} change too often for a table", name_of(desc.epilogue));
      return {};
    }
  }
  std::vector<Candidate> candidates;
  for (const ConvTactic& tactic : all_conv_tactics()) {
    if (tactic.minimum_sm > sm || tactic.maximum_sm < sm) continue;
    const std::string reason = why_not(desc, tactic);
    if (reason.empty()) {
      candidates.push_back({estimated_microseconds(desc, tactic, sm), &tactic});
    } else {
      why = reason;
    }
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.cost < b.cost; });
  std::vector<std::string> names;
  for (const Candidate& candidate : candidates) names.push_back(candidate.tactic->name);
  return names;
}

size_t conv_packed_bytes(const ConvDesc& desc, std::string_view tactic) {
  return static_cast<size_t>(layout_of(desc, checked_tactic(desc, tactic)).total);
}

void pack_conv(const ConvDesc& desc, std::string_view name, const ConvWeights& weights, std::byte* packed) {
  const ConvTactic& tactic = checked_tactic(desc, name);
  const Layout l = layout_of(desc, tactic);
  const ConvShape& s = desc.shape;
  std::memset(packed, 0, static_cast<size_t>(l.total));
  auto* blob = reinterpret_cast<uint8_t*>(packed);
  const int64_t taps = s.kh * s.kw * s.group_c();
  const int32_t zero_point = kernel_zero_point(desc, tactic);
  for (int64_t k = 0; k < s.k; ++k) {
    const int8_t* filter = weights.w + k * taps;
    pack_filter(desc, tactic, l, filter, blob + l.weights + k * l.row_k);
    int64_t sum = 0;
    for (int64_t i = 0; i < taps; ++i) sum += filter[i];
    const auto offset = static_cast<int32_t>(static_cast<uint32_t>(-sum * zero_point));
    std::memcpy(blob + l.offset + 4 * k, &offset, 4);
  }
  std::memcpy(blob + l.multiplier, weights.multiplier, static_cast<size_t>(4 * s.k));
  std::memcpy(blob + l.bias, weights.bias, static_cast<size_t>(4 * s.k));
  std::memset(blob + l.padding, desc.x_zero_point & 255, 16);
  if (has_steps(desc)) {
    StepTable table;
    if (!make_step_table(desc.epilogue, table))
      fail("cuda: the codes of activation {} change too often for a table", name_of(desc.epilogue));
    std::memcpy(blob + l.steps, &table, sizeof(StepTable));
  }
  if (desc.table) std::memcpy(blob + l.table, weights.table, 256);
}

Room conv_room(const ConvDesc& desc, std::string_view name) {
  const ConvTactic& tactic = checked_tactic(desc, name);
  if (tactic.split == 1) return {};
  const auto tiles = static_cast<size_t>(tiles_of(desc.shape, tactic));
  return {.scratch_bytes = tiles * static_cast<size_t>(tactic.split * tactic.rows * tactic.columns) * 4,
          .counter_bytes = tiles * sizeof(uint32_t)};
}

Launch conv_launch(const ConvDesc& desc, std::string_view name, const ConvPointers& pointers) {
  const ConvTactic& tactic = checked_tactic(desc, name);
  const ConvShape& s = desc.shape;
  Launch launch;
  launch.kernel = &kernel_named(tactic.kernel);
  launch.block.x = static_cast<unsigned>(tactic.threads);
  launch.shared_bytes = static_cast<size_t>(tactic.shared_bytes);
  launch.cluster = static_cast<unsigned>(tactic.cluster);
  if (tactic.rows > 1) {
    launch.grid = {static_cast<unsigned>(divided_up(s.n * s.ho * s.wo, tactic.rows)),
                   static_cast<unsigned>(divided_up(s.group_k(), tactic.columns) * s.group),
                   static_cast<unsigned>(tactic.cluster * tactic.split)};
  } else {
    launch.grid.x = static_cast<unsigned>(divided_up(thread_items(s, tactic), tactic.threads));
  }
  const ConvParams params = conv_params(desc, layout_of(desc, tactic), pointers);
  if (tactic.kind == ConvTactic::Kind::Warpgroup) {
    set_warpgroup_params(desc, tactic, params, launch);
  } else {
    launch.set_params(params);
  }
  return launch;
}

}  // namespace kvant::backends::cuda
