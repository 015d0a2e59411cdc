// SPDX-License-Identifier: Apache-2.0
// The functions of the NVIDIA driver that are used, as declarations of our own, so that neither a toolkit nor
// a driver is needed to build. Names, numbers and layouts are those of the CUDA driver API (cuda.h), against
// which driver_api_test.cc compares them where that header is there. Tests put functions of their own into
// the table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace kvant::backends::cuda::driver {

using Result = int;  // CUresult
inline constexpr Result kSuccess = 0, kOutOfMemory = 2, kStubLibrary = 34, kDeviceUnavailable = 46,
                        kNoDevice = 100, kNotReady = 600, kIllegalAddress = 700, kLaunchTimeout = 702,
                        kSystemDriverMismatch = 803;

using DeviceId = int;                // CUdevice
using Address = unsigned long long;  // CUdeviceptr
struct OpaqueContext;
struct OpaqueStream;
struct OpaqueEvent;
struct OpaqueModule;
struct OpaqueFunction;
struct OpaqueGraph;
struct OpaqueGraphExec;
using Context = OpaqueContext*;
using Stream = OpaqueStream*;
using Event = OpaqueEvent*;
using Module = OpaqueModule*;
using Function = OpaqueFunction*;
using Graph = OpaqueGraph*;
using GraphExec = OpaqueGraphExec*;

// CUdevice_attribute
inline constexpr int kMultiprocessorCount = 16, kCapabilityMajor = 75, kCapabilityMinor = 76,
                     kMaxSharedBytesOptIn = 97;
inline constexpr int kFunctionMaxDynamicSharedBytes = 8;  // CUfunction_attribute
inline constexpr unsigned kStreamNonBlocking = 1;         // CUstream_flags
inline constexpr int kCaptureThreadLocal = 1;             // CUstreamCaptureMode

// CUlaunchAttribute, CUlaunchConfig
inline constexpr int kAttributeClusterDimension = 4, kAttributeProgrammaticSerialization = 6;
struct LaunchAttribute {
  int id = 0;
  char padding[4] = {};
  union alignas(8) Value {
    char bytes[64];
    struct {
      unsigned x, y, z;
    } cluster;
    int programmatic;
  } value = {};
};
struct LaunchConfig {
  unsigned grid_x = 1, grid_y = 1, grid_z = 1;
  unsigned block_x = 1, block_y = 1, block_z = 1;
  unsigned shared_bytes = 0;
  Stream stream = nullptr;
  LaunchAttribute* attributes = nullptr;
  unsigned attribute_count = 0;
};

// CUtensorMapDataType, -Interleave, -L2promotion, -FloatOOBfill; swizzles are those of kernels/tensor_map.h.
inline constexpr int kMapBytes = 0, kMapNotInterleaved = 0, kMapFetch256 = 3, kMapZeros = 0;

// Every function as cuda.h has it; the second name is the symbol in the library.
#define KVANT_DRIVER_FUNCTIONS(F)                                                                       \
  F(init, cuInit, (unsigned flags))                                                                     \
  F(driver_version, cuDriverGetVersion, (int* version))                                                 \
  F(error_name, cuGetErrorName, (Result error, const char** text))                                      \
  F(error_text, cuGetErrorString, (Result error, const char** text))                                    \
  F(device_count, cuDeviceGetCount, (int* count))                                                       \
  F(device_get, cuDeviceGet, (DeviceId * device, int ordinal))                                          \
  F(device_name, cuDeviceGetName, (char* name, int bytes, DeviceId device))                             \
  F(device_memory, cuDeviceTotalMem_v2, (size_t * bytes, DeviceId device))                              \
  F(device_attribute, cuDeviceGetAttribute, (int* value, int attribute, DeviceId device))               \
  F(context_retain, cuDevicePrimaryCtxRetain, (Context * context, DeviceId device))                     \
  F(context_release, cuDevicePrimaryCtxRelease_v2, (DeviceId device))                                   \
  F(context_set, cuCtxSetCurrent, (Context context))                                                    \
  F(memory_free_bytes, cuMemGetInfo_v2, (size_t * free, size_t * total))                                \
  F(allocate, cuMemAlloc_v2, (Address * address, size_t bytes))                                         \
  F(release, cuMemFree_v2, (Address address))                                                           \
  F(allocate_host, cuMemHostAlloc, (void** address, size_t bytes, unsigned flags))                      \
  F(release_host, cuMemFreeHost, (void* address))                                                       \
  F(fill, cuMemsetD8Async, (Address address, unsigned char value, size_t count, Stream stream))         \
  F(upload, cuMemcpyHtoDAsync_v2, (Address to, const void* from, size_t bytes, Stream stream))          \
  F(download, cuMemcpyDtoHAsync_v2, (void* to, Address from, size_t bytes, Stream stream))              \
  F(stream_create, cuStreamCreate, (Stream * stream, unsigned flags))                                   \
  F(stream_destroy, cuStreamDestroy_v2, (Stream stream))                                                \
  F(stream_query, cuStreamQuery, (Stream stream))                                                       \
  F(capture_begin, cuStreamBeginCapture_v2, (Stream stream, int mode))                                  \
  F(capture_end, cuStreamEndCapture, (Stream stream, Graph * graph))                                    \
  F(graph_instantiate, cuGraphInstantiateWithFlags,                                                     \
    (GraphExec * executable, Graph graph, unsigned long long flags))                                    \
  F(graph_upload, cuGraphUpload, (GraphExec executable, Stream stream))                                 \
  F(graph_launch, cuGraphLaunch, (GraphExec executable, Stream stream))                                 \
  F(graph_destroy, cuGraphDestroy, (Graph graph))                                                       \
  F(graph_exec_destroy, cuGraphExecDestroy, (GraphExec executable))                                     \
  F(event_create, cuEventCreate, (Event * event, unsigned flags))                                       \
  F(event_destroy, cuEventDestroy_v2, (Event event))                                                    \
  F(event_record, cuEventRecord, (Event event, Stream stream))                                          \
  F(event_elapsed, cuEventElapsedTime, (float* milliseconds, Event start, Event end))                   \
  F(module_load, cuModuleLoadData, (Module * module, const void* image))                                \
  F(module_unload, cuModuleUnload, (Module module))                                                     \
  F(module_function, cuModuleGetFunction, (Function * function, Module module, const char* name))       \
  F(function_attribute, cuFuncSetAttribute, (Function function, int attribute, int value))              \
  F(map_tiles, cuTensorMapEncodeTiled,                                                                  \
    (void* map, int type, uint32_t rank, void* address, const uint64_t* dims, const uint64_t* strides,  \
     const uint32_t* box, const uint32_t* steps, int interleave, int swizzle, int promotion, int fill)) \
  F(map_pixels, cuTensorMapEncodeIm2col,                                                                \
    (void* map, int type, uint32_t rank, void* address, const uint64_t* dims, const uint64_t* strides,  \
     const int* lower, const int* upper, uint32_t channels, uint32_t pixels, const uint32_t* steps,     \
     int interleave, int swizzle, int promotion, int fill))                                             \
  F(launch, cuLaunchKernelEx,                                                                           \
    (const LaunchConfig* config, Function function, void** parameters, void** extra))

struct Api {
#define KVANT_MEMBER(name, symbol, parameters) Result(*name) parameters = nullptr;
  KVANT_DRIVER_FUNCTIONS(KVANT_MEMBER)
#undef KVANT_MEMBER
  std::shared_ptr<void> library;  // stays open as long as the functions are used

  // "CUDA_ERROR_NO_DEVICE (no CUDA-capable device is detected)"
  std::string describe(Result error) const;
};

// Opens the driver and initializes it. Fails with one sentence when there is none, when it is too old and
// when it cannot work.
std::shared_ptr<const Api> open(const std::string& library = "libcuda.so.1");

}  // namespace kvant::backends::cuda::driver
