// SPDX-License-Identifier: Apache-2.0
// Tensors between ONNX's messages and kvant's: element types, raw and typed fields, external data.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "base/file.h"
#include "formats/onnx/kvant_onnx.pb.h"
#include "tensor/tensor.h"

namespace kvant::formats {

// ONNX's number of an element type and back. `what` begins the sentence when kvant has no such type ("input
// 'x'").
int onnx_number(DType dtype);
DType dtype_of_number(int number, const std::string& what);

// Files that hold weights outside of the model, mapped once each. They must lie in the model's folder or
// below it.
class ExternalData {
 public:
  explicit ExternalData(std::filesystem::path folder) : folder_(std::move(folder)) {}
  // The bytes that `proto` points to, as a view of the mapping. Fails if the location leaves the folder, the
  // file is missing or too short, or the numbers make no sense. `what` names the tensor in errors.
  Tensor load(const kvant_onnx::TensorProto& proto, DType dtype, const Shape& shape, const std::string& what);

 private:
  const MappedFile& open(const std::string& location, const std::string& what);

  std::filesystem::path folder_;
  std::map<std::string, MappedFile> files_;
};

// The tensor in `proto`. Its size is checked against the data before memory is taken. `what` names it in
// errors.
Tensor to_tensor(const kvant_onnx::TensorProto& proto, ExternalData& external, const std::string& what);

// Everything but the data: name, element type, dimensions.
void describe(const Tensor& tensor, const std::string& name, kvant_onnx::TensorProto& proto);
// The same with the data as raw_data (little endian).
void from_tensor(const Tensor& tensor, const std::string& name, kvant_onnx::TensorProto& proto);

}  // namespace kvant::formats
