// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "engine/plan/header.h"
#include "engine/plan/plan.h"
#include "engine/plan/text_lines.h"
#include "ir/text.h"

namespace kvant::engine {
namespace {

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Tensors one after the other, each on its alignment.
class Blobs {
 public:
  size_t add(const Tensor& tensor) {
    const size_t offset = size_;
    size_ = aligned(size_ + tensor.byte_size());
    tensors_.push_back(tensor);
    return offset;
  }
  std::vector<std::byte> bytes() const {
    std::vector<std::byte> result(size_);
    size_t offset = 0;
    for (const Tensor& tensor : tensors_) {
      if (tensor.byte_size() > 0) std::memcpy(result.data() + offset, tensor.raw(), tensor.byte_size());
      offset = aligned(offset + tensor.byte_size());
    }
    return result;
  }

 private:
  std::vector<Tensor> tensors_;
  size_t size_ = 0;
};

std::string step_lines(const Plan& plan, const PlanStep& step, Blobs& blobs) {
  const ir::Node& node = plan.graph.node(step.node);
  std::string text = fmt::format("step {} {} {} {}\n", quote(node.name), quote(step.backend),
                                 quote(step.tactic), quote(step.fallback));
  for (const Tensor& tensor : step.packed) {
    text += fmt::format("packed {} {}", name(tensor.dtype()), blobs.add(tensor));
    for (const int64_t dim : tensor.shape()) text += fmt::format(" {}", dim);
    text += '\n';
  }
  return text;
}

std::string text_of(const Plan& plan, Blobs& blobs) {
  const std::string graph = ir::print(
      plan.graph, {.max_elements = 0, .store = [&](const Tensor& tensor) { return blobs.add(tensor); }});
  std::string text = fmt::format("graph {}\n{}\ninputs {}\narena {}\n", graph.size(), graph, plan.input_count,
                                 plan.arena_bytes);
  for (const auto& [backend, what] : plan.needs)
    text += fmt::format("needs {} {}\n", quote(backend), quote(what));
  for (const auto& [key, value] : plan.info) text += fmt::format("info {} {}\n", quote(key), quote(value));
  for (const PlanStep& step : plan.steps) text += step_lines(plan, step, blobs);
  // In the order of the steps: ids are another in a plan that was read.
  for (const PlanStep& step : plan.steps) {
    for (const ir::ValueId output : plan.graph.node(step.node).outputs) {
      if (output == ir::kNone || plan.offsets[static_cast<size_t>(output)] == kNoOffset) continue;
      text += fmt::format("place {} {}\n", quote(plan.graph.value(output).name),
                          plan.offsets[static_cast<size_t>(output)]);
    }
  }
  return text;
}

}  // namespace

void write_plan(const Plan& plan, const std::filesystem::path& path) {
  Blobs blobs;
  const std::string text = text_of(plan, blobs);
  const std::vector<std::byte> blob_bytes = blobs.bytes();
  const size_t blob_start = aligned(sizeof(PlanHeader) + text.size());
  std::vector<std::byte> content(blob_start - sizeof(PlanHeader));
  std::memcpy(content.data(), text.data(), text.size());
  content.insert(content.end(), blob_bytes.begin(), blob_bytes.end());

  PlanHeader header{};
  std::memcpy(header.magic, kPlanMagic, sizeof kPlanMagic);
  header.version = kPlanVersion;
  header.isa = static_cast<uint32_t>(std::ranges::find(kIsaNumbers, plan.isa) - kIsaNumbers);
  header.file_bytes = sizeof header + content.size();
  header.content_check = checksum(content);
  header.text_bytes = text.size();
  header.blob_start = blob_start;
  header.threads = static_cast<uint32_t>(plan.threads);
  header.header_check = checksum_of(header);

  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&header, 1)));
  file.write(content);
  file.commit();
}

}  // namespace kvant::engine
