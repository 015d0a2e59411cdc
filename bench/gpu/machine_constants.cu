// SPDX-License-Identifier: Apache-2.0
// What a card does in the small, as one JSON object: what a kernel of a CUDA graph costs with and without
// programmatic dependent launch, a flag from one CTA to another, a cluster's barrier, int8 tensor cores,
// bandwidths. The figures decide between a graph of kernels and one persistent kernel, and feed the cost
// model of the tactics. Every spin has an end.
//   nvcc -std=c++20 -O3 -gencode arch=compute_90,code=sm_90 -o machine_constants machine_constants.cu
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <tuple>
#include <vector>

#define CHECK(call)                                                       \
  do {                                                                    \
    const cudaError_t error = (call);                                     \
    if (error != cudaSuccess) {                                           \
      std::fprintf(stderr, "%s: %s\n", #call, cudaGetErrorString(error)); \
      std::exit(1);                                                       \
    }                                                                     \
  } while (0)

namespace {

constexpr int kReplays = 50, kChain = 200;
constexpr unsigned kSpinCap = 1u << 26;

bool first_field = true;
void field(const char* name, double value) {
  std::printf("%s  \"%s\": %.6g", first_field ? "" : ",\n", name, value);
  first_field = false;
}

double median(std::vector<float> ms) {
  std::sort(ms.begin(), ms.end());
  return ms[ms.size() / 2];
}

// Milliseconds of `enqueue` by events, the median of several.
template <class Fn>
double time_ms(cudaStream_t stream, const Fn& enqueue, int repeats = kReplays) {
  cudaEvent_t start, stop;
  CHECK(cudaEventCreate(&start));
  CHECK(cudaEventCreate(&stop));
  std::vector<float> times;
  for (int i = 0; i < repeats + 3; ++i) {
    CHECK(cudaEventRecord(start, stream));
    enqueue();
    CHECK(cudaEventRecord(stop, stream));
    CHECK(cudaEventSynchronize(stop));
    float ms = 0;
    CHECK(cudaEventElapsedTime(&ms, start, stop));
    if (i >= 3) times.push_back(ms);
  }
  CHECK(cudaEventDestroy(start));
  CHECK(cudaEventDestroy(stop));
  return median(times);
}

__global__ void touch(float* data, bool dependent) {
#if __CUDA_ARCH__ >= 900
  if (dependent) {
    asm volatile("griddepcontrol.wait;" ::: "memory");
    asm volatile("griddepcontrol.launch_dependents;");
  }
#endif
  if (threadIdx.x == 0) data[blockIdx.x] += 1.0f;
}

void launch_touch(cudaStream_t stream, float* data, int blocks, bool dependent) {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(128);
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = dependent ? 1 : 0;
  CHECK(cudaLaunchKernelEx(&config, touch, data, dependent));
}

// Microseconds of one kernel in a graph of a chain of them.
double graph_node_us(cudaStream_t stream, float* data, int blocks, bool dependent) {
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  for (int i = 0; i < kChain; ++i) launch_touch(stream, data, blocks, dependent);
  CHECK(cudaStreamEndCapture(stream, &graph));
  CHECK(cudaGraphInstantiate(&executable, graph, 0));
  const double ms = time_ms(stream, [&] { CHECK(cudaGraphLaunch(executable, stream)); });
  CHECK(cudaGraphExecDestroy(executable));
  CHECK(cudaGraphDestroy(graph));
  return ms * 1000 / kChain;
}

// Two CTAs hand a counter to and fro: `hops` of them.
__global__ void ping_pong(unsigned* flag, int hops, unsigned* gave_up) {
  if (threadIdx.x != 0) return;
  for (int hop = 0; hop < hops; ++hop) {
    const unsigned mine = static_cast<unsigned>(2 * hop) + blockIdx.x;
    unsigned seen = 0;
    for (unsigned spin = 0;; ++spin) {
      asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(flag) : "memory");
      if (seen == mine) break;
      if (spin > kSpinCap) {
        atomicAdd(gave_up, 1u);
        return;
      }
    }
    asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(flag) : "memory");
  }
}

__global__ void cluster_barriers(int count) {
#if __CUDA_ARCH__ >= 900
  for (int i = 0; i < count; ++i) {
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::
                     : "memory");
  }
#endif
}

double cluster_barrier_us(cudaStream_t stream, unsigned size) {
  constexpr int kBarriers = 1000;
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = size;
  attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(size);
  config.blockDim = dim3(128);
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = 1;
  const double many =
      time_ms(stream, [&] { CHECK(cudaLaunchKernelEx(&config, cluster_barriers, kBarriers)); });
  const double none = time_ms(stream, [&] { CHECK(cudaLaunchKernelEx(&config, cluster_barriers, 0)); });
  return (many - none) * 1000 / kBarriers;
}

// Independent accumulators of m16n8k32 s8.
__global__ void tensor_cores(int iterations, int* out) {
  int sum[4][4] = {};
  const unsigned a[4] = {threadIdx.x * 7u + 1, threadIdx.x * 5u + 3, 0x01020304u, 0x04030201u};
  const unsigned b[2] = {threadIdx.x * 3u + 1, 0x01010101u};
  for (int i = 0; i < iterations; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      asm volatile(
          "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
          "{%0,%1,%2,%3};"
          : "+r"(sum[j][0]), "+r"(sum[j][1]), "+r"(sum[j][2]), "+r"(sum[j][3])
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    }
  }
  int total = 0;
  for (int j = 0; j < 4; ++j) total += sum[j][0] + sum[j][1] + sum[j][2] + sum[j][3];
  if (total == 0x7fffffff) out[0] = total;
}

// Reads `words` int4 by all CTAs, `passes` times.
__global__ void read_all(const int4* data, size_t words, int passes, int* out) {
  int sum = 0;
  for (int p = 0; p < passes; ++p) {
    for (size_t i = blockIdx.x * static_cast<size_t>(blockDim.x) + threadIdx.x; i < words;
         i += static_cast<size_t>(gridDim.x) * blockDim.x) {
      const int4 v = __ldcg(data + i);
      sum += v.x ^ v.y ^ v.z ^ v.w;
    }
  }
  if (sum == 0x7fffffff) out[0] = sum;
}

__global__ void spin_clock(long long cycles) {
  const long long start = clock64();
  while (clock64() - start < cycles) {
  }
}

void measure_rates(cudaStream_t stream, int processors, int* out) {
  constexpr int kIterations = 20000, kWarps = 8;
  const double mma_ms = time_ms(
      stream, [&] { tensor_cores<<<processors, 32 * kWarps, 0, stream>>>(kIterations, out); }, 10);
  const double operations = 2.0 * 16 * 8 * 32 * 4 * kIterations * kWarps * processors;
  field("mma_s8_tops", operations / mma_ms * 1e-9);
  for (const auto& [name, megabytes, passes] :
       {std::tuple{"l2_read_gb_s", size_t{16}, 50}, std::tuple{"dram_read_gb_s", size_t{2048}, 1}}) {
    int4* data = nullptr;
    CHECK(cudaMalloc(&data, megabytes << 20));
    CHECK(cudaMemsetAsync(data, 1, megabytes << 20, stream));
    const double ms = time_ms(
        stream,
        [&, p = passes, m = megabytes] {
          read_all<<<4 * processors, 512, 0, stream>>>(data, (m << 20) / sizeof(int4), p, out);
        },
        10);
    field(name, static_cast<double>(megabytes << 20) * passes / ms * 1e-6);
    CHECK(cudaFree(data));
  }
  constexpr long long kCycles = 50'000'000;
  const double clock_ms = time_ms(
      stream, [&] { spin_clock<<<1, 1, 0, stream>>>(kCycles); }, 5);
  field("clock_mhz", static_cast<double>(kCycles) / clock_ms * 1e-3);
}

}  // namespace

int main() {
  cudaDeviceProp properties{};
  CHECK(cudaGetDeviceProperties(&properties, 0));
  cudaStream_t stream;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  float* data = nullptr;
  unsigned* flags = nullptr;
  CHECK(cudaMalloc(&data, 1 << 20));
  CHECK(cudaMalloc(&flags, 256));
  CHECK(cudaMemset(data, 0, 1 << 20));
  std::printf("{\n  \"device\": \"%s\",\n", properties.name);
  field("sm", properties.major * 10 + properties.minor);
  field("multiprocessors", properties.multiProcessorCount);
  field("l2_bytes", properties.l2CacheSize);
  const bool hopper = properties.major >= 9;
  for (const int blocks : {32, properties.multiProcessorCount}) {
    const bool all = blocks != 32;
    field(all ? "graph_node_us" : "graph_node_32_ctas_us", graph_node_us(stream, data, blocks, false));
    if (hopper)
      field(all ? "graph_node_pdl_us" : "graph_node_pdl_32_ctas_us",
            graph_node_us(stream, data, blocks, true));
  }
  constexpr int kHops = 2000;
  CHECK(cudaMemset(flags, 0, 256));
  const double hops_ms = time_ms(
      stream,
      [&] {
        CHECK(cudaMemsetAsync(flags, 0, 4, stream));
        ping_pong<<<2, 32, 0, stream>>>(flags, kHops, flags + 32);
      },
      5);
  field("flag_hop_us", hops_ms * 1000 / (2 * kHops));
  unsigned gave_up = 0;
  CHECK(cudaMemcpy(&gave_up, flags + 32, 4, cudaMemcpyDeviceToHost));
  field("spins_given_up", gave_up);
  if (hopper) {
    field("cluster_barrier_4_us", cluster_barrier_us(stream, 4));
    field("cluster_barrier_8_us", cluster_barrier_us(stream, 8));
  }
  measure_rates(stream, properties.multiProcessorCount, reinterpret_cast<int*>(data));
  std::printf("\n}\n");
  return 0;
}
