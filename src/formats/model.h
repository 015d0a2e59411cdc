// SPDX-License-Identifier: Apache-2.0
// Model files in and out: every format becomes an ir::Graph of ONNX operators at ir::kIrOpset, and back.
#pragma once

#include <cstddef>
#include <filesystem>

#include "ir/graph.h"

namespace kvant::formats {

struct ReadOptions {
  // QLinearConv, QLinearMatMul, ConvInteger, MatMulInteger and INT32 biases become plain QDQ form; without it
  // the first four are unknown operators.
  bool lift = true;
};

struct WriteOptions {
  // The least opset to write; raised when the graph holds what needs more (FP16 scales: 19).
  int opset = 13;
  // Weights go to a file beside the model, `<file name>.data`. They always do when they take more than
  // inline_limit bytes (one protobuf message holds less than 2 GiB).
  bool external = false;
  std::size_t inline_limit = std::size_t{1900} << 20;
};

// Reads a model: operators raised to ir::kIrOpset, verified, types inferred, names and metadata kept.
// External data is mapped, not copied: the file must stay. Fails with one sentence that names the node or
// tensor at fault; the trail holds the file.
ir::Graph read(const std::filesystem::path& path, const ReadOptions& options = {});

// Writes a model, whole or not at all, the same bytes for the same graph. The format goes by the file's
// extension. Graphs with kvant's internal operators are a Bug: they never leave the engine.
void write(const ir::Graph& graph, const std::filesystem::path& path, const WriteOptions& options = {});

// Whether the content of `path` is an ONNX model, whole; false for what cannot be read.
bool looks_like_onnx(const std::filesystem::path& path);

// Fails if a float constant holds NaN, or infinity where that is no mask or bound; names the tensor, the
// element and a node that reads it.
void require_finite_weights(const ir::Graph& graph);

}  // namespace kvant::formats
