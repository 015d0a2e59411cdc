// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/conv/conv_tactic.h"

#include <algorithm>
#include <vector>

#include "backends/cuda/kernels/conv/conv_warpgroup.h"
#include "backends/cuda/kernels/conv/implicit_gemm.cuh"
#include "base/error.h"

namespace kvant::backends::cuda {
namespace {

constexpr int64_t kMostRows = INT32_MAX / 2, kMostGridY = 65535, kMostFilter = 1 << 24;
constexpr int64_t kMostSharedTiles = 256;  // more fill every card by themselves

int64_t divided_up(int64_t value, int64_t by) { return (value + by - 1) / by; }

template <class T>
ConvTactic tile_tactic(std::string name, int minimum_sm, int blocks) {
  ConvTactic t;
  t.kernel = "conv_" + name;
  t.name = "mma_" + std::move(name);
  t.kind = T::kFetch == device::Fetch::Stem ? ConvTactic::Kind::Stem : ConvTactic::Kind::Tile;
  t.minimum_sm = minimum_sm;
  t.threads = T::kThreads, t.shared_bytes = T::kSharedBytes, t.cluster = T::kCluster, t.split = T::kSplit;
  t.rows = T::kRows, t.columns = T::kColumns, t.inner = T::kInner, t.stages = T::kStages;
  t.blocks_of_sm = blocks;
  t.copy_bytes = T::kFetch == device::Fetch::Copy16  ? 16
                 : T::kFetch == device::Fetch::Copy8 ? 8
                 : T::kFetch == device::Fetch::Copy4 ? 4
                                                     : 1;
  return t;
}

std::vector<ConvTactic> make_tactics() {
  std::vector<ConvTactic> all;
#define KVANT_ADD_TILE(sm, name, blocks, rows, columns, inner, m, n, k, stages, cluster, fetch, ...) \
  all.push_back(                                                                                     \
      tile_tactic<device::Tile<rows, columns, inner, m, n, k, stages, cluster,                       \
                               device::Fetch::fetch __VA_OPT__(, ) __VA_ARGS__>>(#name, sm, blocks));
#define KVANT_TILE(...) KVANT_ADD_TILE(80, __VA_ARGS__)
#define KVANT_CLUSTER_TILE(...) KVANT_ADD_TILE(90, __VA_ARGS__)
#define KVANT_SPLIT_TILE(...) KVANT_ADD_TILE(80, __VA_ARGS__)
#define KVANT_NARROW_TILE(...) KVANT_ADD_TILE(80, __VA_ARGS__)
#include "backends/cuda/kernels/conv/tiles.inc"
#undef KVANT_ADD_TILE
  for (ConvTactic& tactic : warpgroup_tactics()) all.push_back(std::move(tactic));
  const auto depthwise = [&all](int taps, int stride) {
    ConvTactic t;
    t.name = fmt::format("depthwise_{}s{}", taps, stride);
    t.kernel = "conv_" + t.name;
    t.kind = ConvTactic::Kind::Depthwise;
    t.taps = taps, t.stride = stride, t.copy_bytes = 4;
    all.push_back(t);
  };
#define KVANT_DEPTHWISE(taps, stride) depthwise(taps, stride);
#include "backends/cuda/kernels/conv/depthwise.inc"
  ConvTactic direct;
  direct.name = "direct", direct.kernel = "conv_direct";
  all.push_back(direct);
  return all;
}

std::string why_not_tile(const ConvDesc& desc, const ConvTactic& tactic) {
  const ConvShape& s = desc.shape;
  const int64_t copy = tactic.copy_bytes, pitch = desc.x_pitch == 0 ? s.c : desc.x_pitch;
  if (s.group_c() % copy != 0 || pitch % copy != 0)
    return fmt::format("{} channels of a group (pitch {}) are not multiples of {}", s.group_c(), pitch, copy);
  if (divided_up(s.group_k(), tactic.columns) * s.group > kMostGridY) return "too many groups and channels";
  if (s.group_c() < 4 && s.group > 1) return "groups of less than 4 channels";
  if (tactic.split > 1 && tiles_of(s, tactic) > kMostSharedTiles)
    return fmt::format("{} tiles fill a card without blocks that share them", tiles_of(s, tactic));
  return "";
}

std::string why_not_stem(const ConvDesc& desc) {
  const ConvShape& s = desc.shape;
  if (s.group != 1 || s.c > 8) return "a stem has one group of at most 8 channels";
  if (desc.x_pitch != 0 && desc.x_pitch != s.c) return "a stem's pixels lie one behind the other";
  if (s.dilation_w != 1) return "a stem's window is dense";
  if (s.w * s.c > INT32_MAX / 4) return "rows of the image are too long";
  return "";
}

std::string why_not_depthwise(const ConvDesc& desc, const ConvTactic& tactic) {
  const ConvShape& s = desc.shape;
  if (!s.depthwise()) return "not depthwise with one filter a channel";
  if (s.kw != tactic.taps || s.stride_w != tactic.stride || s.dilation_w != 1)
    return fmt::format("its window has {} dense columns at stride {}", tactic.taps, tactic.stride);
  if (s.c % 4 != 0 || desc.x_pitch % 4 != 0) return "channels are not multiples of 4";
  return "";
}

}  // namespace

std::span<const ConvTactic> all_conv_tactics() {
  static const std::vector<ConvTactic> all = make_tactics();
  return all;
}

std::string name_of(const Epilogue& epilogue) { return std::string(kvant::name(epilogue.activation)); }

int64_t tiles_of(const ConvShape& s, const ConvTactic& tactic) {
  return divided_up(s.n * s.ho * s.wo, tactic.rows) * divided_up(s.group_k(), tactic.columns) * s.group;
}

int64_t thread_items(const ConvShape& s, const ConvTactic& tactic) {
  if (tactic.kind == ConvTactic::Kind::Depthwise) return s.n * s.ho * divided_up(s.wo, 2) * (s.c / 4);
  return s.n * s.ho * s.wo * s.k;
}

std::string why_not(const ConvDesc& desc, const ConvTactic& tactic) {
  const ConvShape& s = desc.shape;
  for (const int64_t value : {s.n, s.h, s.w, s.c, s.k, s.kh, s.kw, s.ho, s.wo, s.group}) {
    if (value < 1 || value > kMostRows) return "a dimension is zero or absurd";
  }
  if (s.n * s.ho > kMostRows / s.wo || s.n * s.h > kMostRows / s.w) return "too many pixels";
  if (s.kh * s.kw > kMostFilter / s.group_c()) return "filters are too large";
  switch (tactic.kind) {
    case ConvTactic::Kind::Tile:
      return why_not_tile(desc, tactic);
    case ConvTactic::Kind::Stem:
      return why_not_stem(desc);
    case ConvTactic::Kind::Warpgroup:
      return why_not_warpgroup(desc);
    case ConvTactic::Kind::Depthwise:
      return why_not_depthwise(desc, tactic);
    case ConvTactic::Kind::Direct:
      return thread_items(s, tactic) / tactic.threads > kMostRows ? "too many results" : "";
  }
  return "";
}

double estimated_microseconds(const ConvDesc& desc, const ConvTactic& tactic, int sm) {
  const ConvShape& s = desc.shape;
  const double clock = sm >= 90 ? 1.75e3 : 1.41e3;  // cycles of a microsecond
  const double sms = sm >= 90 ? 132 : 108;
  const auto pixels = static_cast<double>(s.n * s.ho * s.wo);
  const auto taps = static_cast<double>(s.kh * s.kw * s.group_c());
  if (tactic.kind == ConvTactic::Kind::Direct) {
    const double cycles = pixels * static_cast<double>(s.k) * taps * 6 / (sms * 64);
    return 1.0 + (cycles + 200 * taps) / clock;
  }
  if (tactic.kind == ConvTactic::Kind::Depthwise) {
    const double cycles = pixels * static_cast<double>(s.c) * taps / (sms * 64);
    return 1.0 + (cycles + 150 * static_cast<double>(s.kh)) / clock;
  }
  const int parts = tactic.cluster * tactic.split;
  const auto blocks = static_cast<double>(tiles_of(s, tactic) * parts);
  const bool stem = tactic.kind == ConvTactic::Kind::Stem;
  const int64_t tap_bytes = stem ? s.kw * s.c : s.group_c();
  const int64_t tap = tactic.kind == ConvTactic::Kind::Warpgroup ? tactic.inner : 16;
  const double row_k = static_cast<double>((stem ? s.kh : s.kh * s.kw) * divided_up(tap_bytes, tap) * tap);
  const double steps = std::max(1.0, row_k / tactic.inner / parts);
  const double together = std::max(1.0, std::min<double>(tactic.blocks_of_sm, blocks / sms));
  const double waves = std::max(1.0, blocks / (sms * together));
  // Multiplications of an SM in a cycle: mma.sync reaches about 0.6 of the peak, wgmma more.
  const bool warpgroups = tactic.kind == ConvTactic::Kind::Warpgroup;
  const double rate = (sm >= 90 ? 4096 : 2048) * (!warpgroups ? 0.6 : tactic.columns > 64 ? 0.9 : 0.75);
  const double bytes = static_cast<double>(tactic.rows + tactic.columns) * tactic.inner;
  const double copy = bytes / (warpgroups ? 64 : 38) *
                      (tactic.copy_bytes == 16  ? 1
                       : tactic.copy_bytes == 1 ? 4
                                                : 1.5);
  const double product = static_cast<double>(tactic.rows) * tactic.columns * tactic.inner / rate;
  const double step = std::max({together * copy, together * product, 900.0 / tactic.stages + 60});
  const double finish = 900 + together * tactic.rows * tactic.columns / 24.0 / tactic.cluster;
  // Parts go to the second-level cache and back; a fence and a counter on the way.
  const double meet =
      tactic.split > 1 ? 2500 + (tactic.split + 1) * 4.0 * tactic.rows * tactic.columns / 38 : 0;
  const double start = warpgroups ? 2000 : 1200;  // barriers, tensor maps
  return 0.5 + (waves * (start + steps * step + finish + meet) + (tactic.cluster > 1 ? 1200 : 0)) / clock;
}

}  // namespace kvant::backends::cuda
