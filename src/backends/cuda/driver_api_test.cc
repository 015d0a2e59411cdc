// SPDX-License-Identifier: Apache-2.0
// Our declarations of the driver against NVIDIA's, where they are, and what opening it refuses.
#include "backends/cuda/driver_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <filesystem>

#include "backends/cuda/kernels/tensor_map.h"
#include "base/error.h"

#if __has_include(<cuda.h>)
#include <cuda.h>
#endif

namespace kvant::backends::cuda::driver {
namespace {

using testing::HasSubstr;

std::string refusal(const std::string& library) {
  try {
    open(library);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(DriverApi, SaysThatThereIsNoDriver) {
  EXPECT_EQ(refusal("libcuda_of_nobody.so.1"),
            "no NVIDIA driver is installed on this machine (libcuda_of_nobody.so.1 is not there): use "
            "--device cpu");
}

TEST(DriverApi, SaysThatALibraryIsTooOld) {
  EXPECT_THAT(refusal("libm.so.6"),
              HasSubstr("the NVIDIA driver of this machine is too old (it has no cuInit)"));
}

TEST(DriverApi, KnowsTheToolkitsStub) {
  const std::string stub = "/usr/local/cuda/lib/stubs/libcuda.so";
  if (!std::filesystem::exists(stub)) GTEST_SKIP() << "no toolkit here";
  EXPECT_THAT(refusal(stub), HasSubstr("is the CUDA toolkit's stub and no driver"));
}

TEST(DriverApi, DescribesAnError) {
  Api api;
  EXPECT_EQ(api.describe(7), "CUDA error 7");
  api.error_name = [](Result, const char** text) {
    *text = "CUDA_ERROR_SEVEN";
    return kSuccess;
  };
  EXPECT_EQ(api.describe(7), "CUDA_ERROR_SEVEN");
}

#if __has_include(<cuda.h>)
TEST(DriverApi, IsThatOfTheToolkit) {
  static_assert(sizeof(LaunchAttribute) == sizeof(CUlaunchAttribute));
  static_assert(offsetof(LaunchAttribute, value) == offsetof(CUlaunchAttribute, value));
  static_assert(sizeof(LaunchConfig) == sizeof(CUlaunchConfig));
  static_assert(offsetof(LaunchConfig, shared_bytes) == offsetof(CUlaunchConfig, sharedMemBytes));
  static_assert(offsetof(LaunchConfig, stream) == offsetof(CUlaunchConfig, hStream));
  static_assert(offsetof(LaunchConfig, attributes) == offsetof(CUlaunchConfig, attrs));
  static_assert(offsetof(LaunchConfig, attribute_count) == offsetof(CUlaunchConfig, numAttrs));
  static_assert(sizeof(Address) == sizeof(CUdeviceptr) && sizeof(DeviceId) == sizeof(CUdevice));
  EXPECT_EQ(kAttributeClusterDimension, CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION);
  EXPECT_EQ(kAttributeProgrammaticSerialization, CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION);
  EXPECT_EQ(kFunctionMaxDynamicSharedBytes, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
  EXPECT_EQ(kMultiprocessorCount, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
  EXPECT_EQ(kCapabilityMajor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
  EXPECT_EQ(kCapabilityMinor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  EXPECT_EQ(static_cast<int>(kStreamNonBlocking), CU_STREAM_NON_BLOCKING);
  EXPECT_EQ(kCaptureThreadLocal, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
  EXPECT_EQ(kMapBytes, CU_TENSOR_MAP_DATA_TYPE_UINT8);
  EXPECT_EQ(kMapNotInterleaved, CU_TENSOR_MAP_INTERLEAVE_NONE);
  EXPECT_EQ(kMapFetch256, CU_TENSOR_MAP_L2_PROMOTION_L2_256B);
  EXPECT_EQ(kMapZeros, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  EXPECT_EQ(static_cast<int>(Swizzle::Bytes32), CU_TENSOR_MAP_SWIZZLE_32B);
  EXPECT_EQ(static_cast<int>(Swizzle::Bytes64), CU_TENSOR_MAP_SWIZZLE_64B);
  EXPECT_EQ(static_cast<int>(Swizzle::Bytes128), CU_TENSOR_MAP_SWIZZLE_128B);
  static_assert(sizeof(TensorMap) == sizeof(CUtensorMap));
  static_assert(alignof(TensorMap) >= alignof(CUtensorMap));
  EXPECT_EQ(kOutOfMemory, CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(kStubLibrary, CUDA_ERROR_STUB_LIBRARY);
  EXPECT_EQ(kDeviceUnavailable, CUDA_ERROR_DEVICE_UNAVAILABLE);
  EXPECT_EQ(kNoDevice, CUDA_ERROR_NO_DEVICE);
  EXPECT_EQ(kNotReady, CUDA_ERROR_NOT_READY);
  EXPECT_EQ(kSystemDriverMismatch, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH);
  EXPECT_EQ(kLaunchTimeout, CUDA_ERROR_LAUNCH_TIMEOUT);
  EXPECT_EQ(kIllegalAddress, CUDA_ERROR_ILLEGAL_ADDRESS);
}
#endif

}  // namespace
}  // namespace kvant::backends::cuda::driver
