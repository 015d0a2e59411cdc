// SPDX-License-Identifier: Apache-2.0
// How a kernel is started, without any header of CUDA: a launch is plain data that the backend hands to the
// driver (cuLaunchKernelEx) or to the emulator. Every kernel takes one parameter struct by value; the
// pointers in it are device addresses on a GPU and host addresses in the emulator. kernels.cmake compiles
// each kernels/*/<module>.cu with nvcc into <build>/cuda/<module>.fatbin (sm_80, sm_90, PTX), list in
// KVANT_CUDA_FATBINS.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

namespace kvant::backends::cuda {

namespace emulator {
struct Options;   // emulator/emulator.h: scheduling, asynchronous copies
struct Counters;  // what a run did: tensor-core instructions, bank conflicts, bytes
}  // namespace emulator

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
  friend bool operator==(Dim3, Dim3) = default;
};

struct Launch;

// One entry of kernels.inc. On a GPU the kernel `name` (extern "C") stands in the module `module`, one
// module for each .cu file; `emulate` runs the very same source on the CPU and fails (Error) on a misaligned
// access, a divergent collective, a deadlock.
struct Kernel {
  const char* name;
  const char* module;  // "implicit_gemm": kernels/*/implicit_gemm.cu
  int minimum_sm;      // 80, 90
  void (*emulate)(const Launch& launch, const emulator::Options& options, emulator::Counters* counters);
};

// All kernels, in the order of kernels.inc.
std::span<const Kernel> kernels();
// Fails (Error) on an unknown name, naming the nearest.
const Kernel& kernel_named(std::string_view name);

// Memory of the device that a launch uses beside its operands, and nobody else while it runs.
struct Room {
  size_t scratch_bytes = 0;  // of any content
  size_t counter_bytes = 0;  // zero before the launch, and zero again behind it
};

struct Launch {
  static constexpr size_t kMaxParamBytes = 768;
  static constexpr int kMostTensorMaps = 2;

  const Kernel* kernel = nullptr;
  Dim3 grid, block;
  unsigned cluster = 1;     // CTAs of a cluster, along z; 1: none
  size_t shared_bytes = 0;  // dynamic; above 48 KiB the driver wants to be asked (MAX_DYNAMIC_SHARED_SIZE)
  size_t param_bytes = 0;
  alignas(128) std::array<std::byte, kMaxParamBytes> params{};
  // Where in `params` a TensorMap (tensor_map.h) lies as a plain description.
  int tensor_maps = 0;
  std::array<uint16_t, kMostTensorMaps> tensor_map_at{};

  template <class Params>
  void set_params(const Params& value) {
    static_assert(std::is_trivially_copyable_v<Params> && sizeof(Params) <= kMaxParamBytes);
    param_bytes = sizeof(Params);
    std::memcpy(params.data(), &value, sizeof(Params));
  }
  template <class Params>
  Params params_as() const {
    Params value;
    std::memcpy(&value, params.data(), sizeof(Params));
    return value;
  }
};

}  // namespace kvant::backends::cuda
