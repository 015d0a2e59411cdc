// SPDX-License-Identifier: Apache-2.0
// Tensors as other libraries hand them over without copying: the structures of DLPack
// (https://dmlc.github.io/dlpack), declared here so that its header is not needed. Names are our own, the
// layout is DLPack's: as_tensor() takes theirs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

namespace kvant::dlpack {

enum DeviceType : int32_t { kCpu = 1, kCuda = 2, kCudaHost = 3 };
enum DataTypeCode : uint8_t { kInt = 0, kUInt = 1, kFloat = 2, kBfloat = 4, kBool = 6 };

struct Device {
  int32_t type = kCpu;
  int32_t id = 0;
};

struct DataType {
  uint8_t code = kFloat;
  uint8_t bits = 32;
  uint16_t lanes = 1;
};

struct Tensor {
  void* data = nullptr;
  Device device;
  int32_t ndim = 0;
  DataType dtype;
  int64_t* shape = nullptr;
  int64_t* strides = nullptr;  // in elements; nullptr: row by row without gaps
  uint64_t byte_offset = 0;
};

// A tensor with its memory, which deleter(this) frees.
struct ManagedTensor {
  Tensor tensor;
  void* manager = nullptr;
  void (*deleter)(ManagedTensor* self) = nullptr;
};

struct Release {
  void operator()(ManagedTensor* tensor) const {
    if (tensor != nullptr && tensor->deleter != nullptr) tensor->deleter(tensor);
  }
};
// release() hands the memory on, to from_dlpack() of another library for example.
using Owned = std::unique_ptr<ManagedTensor, Release>;

// A DLTensor of DLPack's header (or of a DLManagedTensor, versioned or not) as ours; the numbers stay where
// they are.
template <class DLTensor>
Tensor as_tensor(const DLTensor& theirs) {
  static_assert(sizeof(DLTensor) == sizeof(Tensor) && alignof(DLTensor) == alignof(Tensor) &&
                offsetof(DLTensor, device) == offsetof(Tensor, device) &&
                offsetof(DLTensor, dtype) == offsetof(Tensor, dtype) &&
                offsetof(DLTensor, shape) == offsetof(Tensor, shape) &&
                offsetof(DLTensor, byte_offset) == offsetof(Tensor, byte_offset));
  Tensor tensor;
  std::memcpy(static_cast<void*>(&tensor), &theirs, sizeof tensor);
  return tensor;
}

}  // namespace kvant::dlpack
