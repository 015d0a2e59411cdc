// SPDX-License-Identifier: Apache-2.0
// The device layer of kernels/warpgroup.cuh on the CPU: mbarriers, copies of tensor tiles, products of a
// warpgroup; read the comments there for what each does.
#pragma once

#include "backends/cuda/emulator/device.h"
#include "backends/cuda/kernels/tensor_map.h"

namespace kvant::backends::cuda::device {

void init_mbarrier(uint64_t* barrier, int arrivals);
void publish_mbarriers();
void arrive(uint64_t* barrier);
void arrive_expecting(uint64_t* barrier, int bytes);
void wait_phase(uint64_t* barrier, int parity);
void barrier_of(int id, int threads);
inline void prefetch_map(const TensorMap&) {}

void issue_tile(void* shared, const TensorMap& map, const int* at, int rank, uint64_t* barrier);
template <int kRank>
inline void copy_tile(void* shared, const TensorMap& map, const int (&at)[kRank], uint64_t* barrier) {
  issue_tile(shared, map, at, kRank, barrier);
}
void copy_pixels(void* shared, const TensorMap& map, int c, int w, int h, int n, int offset_w, int offset_h,
                 uint64_t* barrier);

// Registers that a product writes; `group` is the last one that does.
template <int kColumns>
struct Accumulator {
  int sums[kColumns / 2];
  int group = -1;
  int written = -1;  // how many fences had been passed at the last write by other instructions
};

// Fails while a product that was not waited for owns the registers.
void check_owned(int group, const char* what);
template <int kColumns>
inline void clear(Accumulator<kColumns>& sums) {
  check_owned(sums.group, "written");
  for (int& sum : sums.sums) sum = 0;
  sums.written = Machine::current().product_fences;
}
template <int kColumns>
inline int sum_of(const Accumulator<kColumns>& sums, int i) {
  check_owned(sums.group, "read");
  return sums.sums[i];
}

uint64_t make_descriptor(const void* shared, int pitch);
template <int kPitch>
inline uint64_t tile_descriptor(const void* shared) {
  return make_descriptor(shared, kPitch);
}

void fence_warpgroup();
template <int kColumns>
inline void fence_products(Accumulator<kColumns>&) {
  fence_warpgroup();
}
void issue_product(int* sums, int columns, bool a_signed, int written, uint64_t a, uint64_t b);
template <int kColumns, bool kSignedA>
inline void multiply_async(Accumulator<kColumns>& sums, uint64_t a, uint64_t b) {
  sums.group = Machine::current().product_group;
  issue_product(sums.sums, kColumns, kSignedA, sums.written, a, b);
}
void commit_products();
void wait_for_products(int pending);
template <int kPending, int kColumns>
inline void wait_products(Accumulator<kColumns>&) {
  wait_for_products(kPending);
}

}  // namespace kvant::backends::cuda::device
