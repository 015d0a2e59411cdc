// SPDX-License-Identifier: Apache-2.0
// The ONNX format's two directions, and the facts of the standard that both need.
#pragma once

#include <filesystem>

#include "formats/model.h"

namespace kvant::formats {

inline constexpr int kOldestOpset = 7;   // with the form of operators that upgrades.inc starts from
inline constexpr int kNewestOpset = 28;  // whose changes upgrades.inc knows

ir::Graph read_onnx(const std::filesystem::path& path, const ReadOptions& options);
void write_onnx(const ir::Graph& graph, const std::filesystem::path& path, const WriteOptions& options);

// Keys in ir::Graph::metadata that stand for fields of their own in the file.
inline constexpr std::string_view kProducerNameKey = "onnx.producer_name";
inline constexpr std::string_view kProducerVersionKey = "onnx.producer_version";
inline constexpr std::string_view kDomainKey = "onnx.domain";
inline constexpr std::string_view kModelVersionKey = "onnx.model_version";
inline constexpr std::string_view kDocKey = "onnx.doc_string";
inline constexpr std::string_view kGraphDocKey = "onnx.graph_doc_string";

}  // namespace kvant::formats
