// SPDX-License-Identifier: Apache-2.0
// Tensor copies, mbarriers and wgmma in small kernels: what lands where, and the error of each misuse.
#include "backends/cuda/kernels/warpgroup.cuh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "base/error.h"
#include "base/random.h"

namespace kvant::backends::cuda {
namespace {

using emulator::Copies;
using emulator::Options;
using testing::HasSubstr;

struct Params {
  TensorMap map, second;
  int* out;
  uint8_t* bytes;
  int at[5];
};

using Body = void (*)(const Params&);

template <Body kBody>
void emulate_body(const Launch& launch, const Options& options, emulator::Counters* counters) {
  const auto params = launch.params_as<Params>();
  emulator::run(
      launch, options, counters, 256, [](const void* p) { kBody(*static_cast<const Params*>(p)); }, &params);
}

constexpr size_t kShared = 32768, kBarriersAt = 32000;

template <Body kBody>
void run_body(const Params& params, const Options& options = {}, emulator::Counters* counters = nullptr) {
  static constexpr Kernel kernel{"toy", "toy", 90, emulate_body<kBody>};
  Launch launch;
  launch.kernel = &kernel;
  launch.block.x = 128;
  launch.shared_bytes = kShared;
  launch.set_params(params);
  kernel.emulate(launch, options, counters);
}

template <Body kBody>
std::string fault_of(const Params& params, const Options& options = {}) {
  try {
    run_body<kBody>(params, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

uint64_t* barrier_at(int i) { return reinterpret_cast<uint64_t*>(device::shared_memory() + kBarriersAt) + i; }

void start_barrier(int arrivals = 1) {
  if (device::thread_index() == 0) {
    device::init_mbarrier(barrier_at(0), arrivals);
    device::publish_mbarriers();
  }
  device::barrier();
}

std::vector<Options> schedules() {
  std::vector<Options> all = {{}, {Copies::Eager, false, 1}};
  for (uint64_t seed = 1; seed <= 6; ++seed)
    all.push_back({seed % 2 == 0 ? Copies::Lazy : Copies::Random, true, seed});
  return all;
}

// Memory at a multiple of 256 bytes.
struct Bytes {
  std::vector<uint8_t> storage;
  uint8_t* data;
  explicit Bytes(size_t n) : storage(n + 256) {
    data = storage.data() + (256 - reinterpret_cast<uintptr_t>(storage.data()) % 256);
    Random random(n);
    for (size_t i = 0; i < n; ++i) data[i] = static_cast<uint8_t>(random.next());
  }
};

// Copies one tile and hands the bytes out as they lie in shared memory.
template <int kRank>
void tile_body(const Params& p) {
  start_barrier();
  const TensorMapForm form = p.map.form();
  const auto bytes = static_cast<int>(form.copied_bytes());
  if (device::thread_index() == 0) {
    device::arrive_expecting(barrier_at(0), bytes);
    if constexpr (kRank == 0) {
      device::copy_pixels(device::shared_memory(), p.map, p.at[0], p.at[1], p.at[2], p.at[3], p.at[4] & 15,
                          p.at[4] >> 4, barrier_at(0));
    } else {
      int at[kRank];
      for (int i = 0; i < kRank; ++i) at[i] = p.at[i];
      device::copy_tile<kRank>(device::shared_memory(), p.map, at, barrier_at(0));
    }
  }
  device::wait_phase(barrier_at(0), 0);
  for (int i = device::thread_index(); i < bytes; i += 128) p.bytes[i] = device::shared_memory()[i];
}

TensorMapForm tile_form(const uint8_t* from, std::vector<int> dims, std::vector<int> box, Swizzle swizzle) {
  TensorMapForm form;
  form.address = from;
  form.rank = static_cast<uint8_t>(dims.size());
  form.swizzle = swizzle;
  uint64_t stride = 1;
  for (size_t i = 0; i < dims.size(); ++i) {
    form.dims[i] = static_cast<uint32_t>(dims[i]);
    form.box[i] = static_cast<uint16_t>(box[i]);
    stride = (stride * static_cast<uint64_t>(dims[i]) + 15) / 16 * 16;
    if (i + 1 < dims.size()) form.strides[i] = stride;
  }
  return form;
}

// Byte `chunk_byte` of row `row` of a tile with that swizzle.
size_t place(int row, int byte, int pitch, int mask) {
  const int linear = row * pitch + byte;
  return static_cast<size_t>(linear ^ ((linear >> 7 & mask) << 4));
}

TEST(TensorCopies, TilesAreSwizzledAndFilledWithZeros) {
  const Bytes from(64 * 128);
  struct Form {
    Swizzle swizzle;
    int pitch, mask;
  };
  for (const Form& f : {Form{Swizzle::None, 48, 0}, Form{Swizzle::Bytes32, 32, 1},
                        Form{Swizzle::Bytes64, 64, 3}, Form{Swizzle::Bytes128, 128, 7}}) {
    const TensorMapForm form = tile_form(from.data, {100, 21}, {f.pitch, 16}, f.swizzle);
    for (const Options& options : schedules()) {
      for (const auto& [x, y] : {std::pair{0, 0}, {-16, -3}, {64, 10}}) {
        std::vector<uint8_t> out(static_cast<size_t>(f.pitch * 16));
        Params params{TensorMap(form), {}, nullptr, out.data(), {x, y}};
        emulator::Counters counters;
        run_body<tile_body<2>>(params, options, &counters);
        EXPECT_EQ(counters.copied_bytes, f.pitch * 16);
        for (int row = 0; row < 16; ++row) {
          for (int i = 0; i < f.pitch; ++i) {
            const int column = x + i, line = y + row;
            const bool inside = column >= 0 && column < 100 && line >= 0 && line < 21;
            ASSERT_EQ(out[place(row, i, f.pitch, f.mask)], inside ? from.data[line * 112 + column] : 0)
                << f.pitch << ' ' << row << ' ' << i;
          }
        }
      }
    }
  }
}

TEST(TensorCopies, OfFiveDimensionsWithSteps) {
  const Bytes from(16 * 5 * 4 * 3 * 3);
  TensorMapForm form = tile_form(from.data, {16, 5, 4, 3, 3}, {16, 3, 2, 2, 2}, Swizzle::None);
  form.steps[1] = 2;  // elements 0 and 2 of the three
  std::vector<uint8_t> out(16 * 2 * 2 * 2 * 2);
  run_body<tile_body<5>>({TensorMap(form), {}, nullptr, out.data(), {0, 3, 1, 2, 1}});
  size_t at = 0;
  for (int i4 = 1; i4 < 3; ++i4)
    for (int i3 = 2; i3 < 4; ++i3)
      for (int i2 = 1; i2 < 3; ++i2)
        for (int i1 = 3; i1 < 7; i1 += 2)
          for (int i0 = 0; i0 < 16; ++i0, ++at)
            ASSERT_EQ(out[at],
                      i1 < 5 && i3 < 3 ? from.data[(((i4 * 3 + i3) * 4 + i2) * 5 + i1) * 16 + i0] : 0);
}

TEST(TensorCopies, PixelsOfWindowsFollowEachOther) {
  // 3x3 at stride 2 over 2 images of 7x6, padding 1: the windows of the result [2,3,4] (columns 4, rows 3).
  constexpr int kW = 7, kH = 6, kC = 32;
  const Bytes from(2 * kH * kW * kC);
  TensorMapForm form = tile_form(from.data, {kC, kW, kH, 2}, {32, 1, 1, 1}, Swizzle::Bytes32);
  form.im2col = true;
  form.steps[1] = form.steps[2] = 2;
  form.lower[0] = form.lower[1] = -1;
  form.upper[0] = 3 * 2 - 1 - (kW - 1), form.upper[1] = 2 * 2 - 1 - (kH - 1);
  form.channels = 32, form.pixels = 16;
  for (const int offset : {0, 1, 0x21, 0x12}) {
    const int dw = offset & 15, dh = offset >> 4;
    std::vector<uint8_t> out(16 * 32);
    run_body<tile_body<0>>({TensorMap(form), {}, nullptr, out.data(), {0, 3, -1, 0, offset}});
    for (int i = 0; i < 16; ++i) {
      const int pixel = 2 + i;  // the copy starts at column 2 of row 0
      const int n = pixel / 12, h = pixel / 4 % 3 * 2 - 1 + dh, w = pixel % 4 * 2 - 1 + dw;
      const bool inside = n < 2 && h >= 0 && h < kH && w >= 0 && w < kW;
      for (int c = 0; c < kC; ++c)
        ASSERT_EQ(out[place(i, c, 32, 1)], inside ? from.data[((n * kH + h) * kW + w) * kC + c] : 0)
            << offset << ' ' << i << ' ' << c;
    }
  }
}

TEST(TensorCopies, MapsThatTheHardwareRefuses) {
  const Bytes from(4096);
  std::vector<uint8_t> out(8192);
  const auto fault = [&](auto change) {
    TensorMapForm form = tile_form(from.data, {64, 16}, {64, 8}, Swizzle::Bytes64);
    change(form);
    return fault_of<tile_body<2>>({TensorMap(form), {}, nullptr, out.data(), {}});
  };
  EXPECT_EQ(fault([](TensorMapForm&) {}), "");
  EXPECT_THAT(fault([](TensorMapForm& f) { f.address = static_cast<const uint8_t*>(f.address) + 8; }),
              HasSubstr("address is not a multiple of 16"));
  EXPECT_THAT(fault([](TensorMapForm& f) { f.strides[0] = 72; }),
              HasSubstr("strides are not multiples of 16"));
  EXPECT_THAT(fault([](TensorMapForm& f) { f.box[1] = 300; }), HasSubstr("beyond 1...256"));
  EXPECT_THAT(fault([](TensorMapForm& f) { f.box[0] = 32; }), HasSubstr("not as long as its swizzle's"));
  EXPECT_THAT(fault([](TensorMapForm& f) { f.rank = 3; }), HasSubstr("of another rank"));
  EXPECT_THAT(fault([](TensorMapForm& f) { f.steps[1] = 9; }), HasSubstr("beyond 1...8"));
  EXPECT_THAT(fault([](TensorMapForm& f) { f.dims[1] = 0; }), HasSubstr("empty dimension"));
  EXPECT_THAT(fault([](TensorMapForm& f) { f.im2col = true; }), HasSubstr("a tiled copy by an im2col"));
}

enum class Misuse {
  NoInit,
  NoPublish,
  TwiceInit,
  TooFewBytes,
  TooManyBytes,
  WrongParity,
  ManyArrivals,
  NoWait
};

template <Misuse kMisuse>
void barrier_body(const Params& p) {
  if (device::thread_index() == 0 && kMisuse != Misuse::NoInit) {
    device::init_mbarrier(barrier_at(0), 1);
    if (kMisuse == Misuse::TwiceInit) device::init_mbarrier(barrier_at(0), 1);
    if (kMisuse != Misuse::NoPublish) device::publish_mbarriers();
  }
  device::barrier();
  if (device::thread_index() == 0) {
    const int bytes = kMisuse == Misuse::TooFewBytes ? 500 : kMisuse == Misuse::TooManyBytes ? 600 : 512;
    device::arrive_expecting(barrier_at(0), bytes);
    if (kMisuse == Misuse::ManyArrivals) device::arrive(barrier_at(0));
    device::copy_tile<2>(device::shared_memory(), p.map, {0, 0}, barrier_at(0));
  }
  if (kMisuse == Misuse::NoWait) return;
  device::wait_phase(barrier_at(0), kMisuse == Misuse::WrongParity ? 1 : 0);
  p.bytes[device::thread_index()] = device::shared_memory()[device::thread_index()];
  device::wait_phase(barrier_at(0), 0);
}

TEST(Mbarriers, MisuseIsNamed) {
  const Bytes from(4096);
  std::vector<uint8_t> out(128);
  const Params params{
      TensorMap(tile_form(from.data, {64, 16}, {64, 8}, Swizzle::None)), {}, nullptr, out.data(), {}};
  EXPECT_THAT(fault_of<barrier_body<Misuse::NoInit>>(params),
              HasSubstr("an mbarrier that was not initialized"));
  EXPECT_THAT(fault_of<barrier_body<Misuse::NoPublish>>(params), HasSubstr("that no fence has published"));
  EXPECT_THAT(fault_of<barrier_body<Misuse::TwiceInit>>(params), HasSubstr("initialized twice"));
  EXPECT_THAT(
      fault_of<barrier_body<Misuse::TooFewBytes>>(params),
      HasSubstr("128 threads wait at an mbarrier (byte 32000 of shared memory, phase 0: 0 arrivals and "
                "-12 bytes are missing)"));
  EXPECT_THAT(fault_of<barrier_body<Misuse::TooManyBytes>>(params),
              HasSubstr("0 arrivals and 88 bytes are missing"));
  EXPECT_THAT(fault_of<barrier_body<Misuse::ManyArrivals>>(params),
              HasSubstr("more arrivals at an mbarrier"));
  EXPECT_THAT(fault_of<barrier_body<Misuse::NoWait>>(params),
              HasSubstr("ends with tensor copies outstanding"));
  EXPECT_EQ(fault_of<barrier_body<Misuse::WrongParity>>(params), "");
  EXPECT_EQ(out[5], 0xCD) << "a wait for the wrong parity does not wait";
}

// Two stages, a producer and a warp that consumes: phases follow each other.
void ring_body(const Params& p) {
  constexpr int kStages = 2, kSteps = 7;
  if (device::thread_index() == 0) {
    for (int i = 0; i < kStages; ++i) {
      device::init_mbarrier(barrier_at(i), 1);
      device::init_mbarrier(barrier_at(kStages + i), 32);
    }
    device::publish_mbarriers();
  }
  device::barrier();
  const int tid = device::thread_index();
  if (tid == 127) {
    for (int step = 0; step < kSteps; ++step) {
      const int stage = step % kStages;
      if (step >= kStages) device::wait_phase(barrier_at(kStages + stage), step / kStages % 2 ^ 1);
      device::arrive_expecting(barrier_at(stage), 512);
      device::copy_tile<2>(device::shared_memory() + stage * 512, p.map, {0, step * 8}, barrier_at(stage));
    }
  } else if (tid < 32) {
    for (int step = 0; step < kSteps; ++step) {
      const int stage = step % kStages;
      device::wait_phase(barrier_at(stage), step / kStages % 2);
      p.out[step * 32 + tid] = device::shared_memory()[stage * 512 + tid * 16];
      device::arrive(barrier_at(kStages + stage));
    }
  }
}

TEST(Mbarriers, KeepARingInOrder) {
  const Bytes from(4096);
  for (const Options& options : schedules()) {
    std::vector<int> out(7 * 32, -1);
    run_body<ring_body>(
        {TensorMap(tile_form(from.data, {64, 64}, {64, 8}, Swizzle::None)), {}, out.data(), nullptr, {}},
        options);
    for (int i = 0; i < 7 * 32; ++i) ASSERT_EQ(out[static_cast<size_t>(i)], from.data[i * 16]) << i;
  }
}

// A product of 64 x kColumns over 2 * kPitch bytes in two tiles.
enum class Planted {
  None,
  NoFence,
  ReadEarly,
  EarlyReuse,
  NoCommit,
  HalfDescriptor,
  Reserved,
  OtherSwizzle,
  NoWait
};

template <int kColumns, int kPitch, bool kSigned, Planted kPlanted>
void product_body(const Params& p) {
  constexpr int kA = 64 * kPitch, kB = kColumns * kPitch;
  start_barrier();
  const auto load = [&](int step) {
    if (device::thread_index() != 0) return;
    device::arrive_expecting(barrier_at(0), kA + kB);
    device::copy_tile<2>(device::shared_memory(), p.map, {step * kPitch, 0}, barrier_at(0));
    device::copy_tile<2>(device::shared_memory() + kA, p.second, {step * kPitch, 0}, barrier_at(0));
  };
  device::Accumulator<kColumns> sums;
  device::clear(sums);
  for (int step = 0; step < 2; ++step) {
    load(step);
    device::wait_phase(barrier_at(0), step);
    if (kPlanted != Planted::NoFence) device::fence_products(sums);
    uint64_t a = device::tile_descriptor<kPitch>(device::shared_memory());
    const uint64_t b = device::tile_descriptor<kPitch>(device::shared_memory() + kA);
    if (kPlanted == Planted::HalfDescriptor) a += kPitch >> 4;
    if (kPlanted == Planted::Reserved) a |= uint64_t{1} << 14;
    if (kPlanted == Planted::OtherSwizzle) a = (a & ~(uint64_t{3} << 62)) | uint64_t{3} << 62;
    for (int k = 0; k < kPitch / 32; ++k)
      device::multiply_async<kColumns, kSigned>(sums, a + static_cast<uint64_t>(2 * k),
                                                b + static_cast<uint64_t>(2 * k));
    if (kPlanted != Planted::NoCommit) device::commit_products();
    if (kPlanted != Planted::EarlyReuse && kPlanted != Planted::NoWait)
      device::template wait_products<0>(sums);
    device::barrier();
  }
  if (kPlanted == Planted::NoWait) return;
  if (kPlanted != Planted::ReadEarly) device::template wait_products<0>(sums);
  if (kPlanted == Planted::ReadEarly) {
    device::fence_products(sums);
    device::multiply_async<kColumns, kSigned>(sums, device::tile_descriptor<kPitch>(device::shared_memory()),
                                              device::tile_descriptor<kPitch>(device::shared_memory() + kA));
    device::commit_products();
  }
  const int t = device::thread_index();
  for (int i = 0; i < kColumns / 2; ++i) {
    const int row = t / 32 * 16 + t % 32 / 4 + (i >> 1 & 1) * 8, column = i / 4 * 8 + t % 4 * 2 + (i & 1);
    p.out[row * kColumns + column] = device::sum_of(sums, i);
  }
}

// Whether the product is right; an error of the emulator is thrown.
template <int kColumns, int kPitch, bool kSigned, Planted kPlanted = Planted::None>
bool is_right(const Options& options) {
  const Bytes a(64 * 2 * kPitch), b(kColumns * 2 * kPitch + 1);
  const Swizzle swizzle = kPitch == 128  ? Swizzle::Bytes128
                          : kPitch == 64 ? Swizzle::Bytes64
                                         : Swizzle::Bytes32;
  std::vector<int> out(64 * kColumns, -1);
  emulator::Counters counters;
  run_body<product_body<kColumns, kPitch, kSigned, kPlanted>>(
      {TensorMap(tile_form(a.data, {2 * kPitch, 64}, {kPitch, 64}, swizzle)),
       TensorMap(tile_form(b.data, {2 * kPitch, kColumns}, {kPitch, kColumns}, swizzle)),
       out.data(),
       nullptr,
       {}},
      options, &counters);
  if (counters.wgmma != kColumns / 8 * 2 * kPitch / 32) return false;
  for (int row = 0; row < 64; ++row) {
    for (int column = 0; column < kColumns; ++column) {
      int sum = 0;
      for (int k = 0; k < 2 * kPitch; ++k) {
        const uint8_t code = a.data[row * 2 * kPitch + k];
        sum += (kSigned ? static_cast<int8_t>(code) : code) *
               static_cast<int8_t>(b.data[column * 2 * kPitch + k]);
      }
      if (out[static_cast<size_t>(row * kColumns + column)] != sum) return false;
    }
  }
  return true;
}

TEST(Wgmma, MultipliesSwizzledTiles) {
  for (const Options& options : schedules()) {
    EXPECT_TRUE((is_right<64, 128, true>(options)));
    EXPECT_TRUE((is_right<64, 64, false>(options)));
    EXPECT_TRUE((is_right<128, 64, true>(options)));
    EXPECT_TRUE((is_right<256, 64, false>(options)));
    EXPECT_TRUE((is_right<64, 32, true>(options)));
  }
}

template <Planted kPlanted>
std::string product_fault(const Options& options = {}) {
  try {
    return is_right<64, 64, true, kPlanted>(options) ? "right" : "wrong";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(Wgmma, MisuseIsNamedOrShows) {
  EXPECT_EQ(product_fault<Planted::None>(), "right");
  EXPECT_THAT(product_fault<Planted::NoFence>(),
              HasSubstr("without a wgmma.fence after its registers were written"));
  EXPECT_THAT(product_fault<Planted::ReadEarly>(),
              HasSubstr("a sum is read before the wgmma that makes it was waited for"));
  EXPECT_THAT(product_fault<Planted::NoCommit>(),
              HasSubstr("a sum is read before the wgmma that makes it was waited for"));
  EXPECT_THAT(product_fault<Planted::HalfDescriptor>(), HasSubstr("starts within a repeat of its swizzle"));
  EXPECT_THAT(product_fault<Planted::Reserved>(), HasSubstr("reserved bits"));
  EXPECT_THAT(product_fault<Planted::NoWait>(), HasSubstr("a block ends with wgmma outstanding"));
  EXPECT_THAT(product_fault<Planted::OtherSwizzle>(), HasSubstr("starts within a repeat of its swizzle"));
  EXPECT_EQ(product_fault<Planted::EarlyReuse>(), "wrong") << "tiles are read as late as the waits allow";
}

}  // namespace
}  // namespace kvant::backends::cuda
