# SPDX-License-Identifier: Apache-2.0
# Model files. The ONNX schema is compiled here by protoc into a library of its own: generated code knows neither our
# warnings nor our flags.
find_package(Protobuf REQUIRED)

set(onnx_proto_folder ${PROJECT_BINARY_DIR}/generated/formats/onnx)
set(onnx_proto_files ${onnx_proto_folder}/kvant_onnx.pb.cc ${onnx_proto_folder}/kvant_onnx.pb.h)
file(MAKE_DIRECTORY ${onnx_proto_folder})
add_custom_command(
  OUTPUT ${onnx_proto_files}
  COMMAND protobuf::protoc --cpp_out=${onnx_proto_folder} -I ${PROJECT_SOURCE_DIR}/src/formats/onnx
          ${PROJECT_SOURCE_DIR}/src/formats/onnx/kvant_onnx.proto
  DEPENDS ${PROJECT_SOURCE_DIR}/src/formats/onnx/kvant_onnx.proto protobuf::protoc
  COMMENT "Generating kvant_onnx.pb.cc")
add_library(kvant_onnx_proto STATIC ${onnx_proto_files})
target_include_directories(kvant_onnx_proto SYSTEM PUBLIC ${PROJECT_BINARY_DIR}/generated)
target_link_libraries(kvant_onnx_proto PUBLIC protobuf::libprotobuf-lite)

kvant_module(formats DEPS ops LIBRARIES kvant_onnx_proto)
