// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "engine/plan/header.h"
#include "engine/plan/plan.h"
#include "engine/plan/text_lines.h"
#include "ir/infer.h"
#include "ir/text.h"
#include "ir/verify.h"

namespace kvant::engine {
namespace {

constexpr int64_t kMaxNumber = std::numeric_limits<int64_t>::max() / 2;
constexpr int64_t kMaxThreads = 4096;

PlanHeader read_header(std::span<const std::byte> bytes) {
  PlanHeader header{};
  if (bytes.size() < sizeof kPlanMagic || std::memcmp(bytes.data(), kPlanMagic, sizeof kPlanMagic) != 0) {
    fail("the file is not a kvant plan");
  }
  if (bytes.size() < sizeof header) fail("the plan is truncated: build it again");
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.version != kPlanVersion) {
    fail("the plan was made by another version of kvant (format {}, this build reads {}): build it again",
         header.version, kPlanVersion);
  }
  if (header.header_check != checksum_of(header))
    fail("the plan is damaged (its header's checksum differs): build it again");
  if (bytes.size() < header.file_bytes) {
    fail("the plan is truncated ({} of {} bytes): build it again", bytes.size(), header.file_bytes);
  }
  if (bytes.size() != header.file_bytes || header.content_check != checksum(bytes.subspan(sizeof header))) {
    fail("the plan is damaged (its checksum differs): build it again");
  }
  return header;
}

void check_header(const PlanHeader& header) {
  if (header.text_bytes > header.file_bytes - sizeof header || header.blob_start > header.file_bytes ||
      header.blob_start < sizeof header + header.text_bytes || header.blob_start % kAlignment != 0 ||
      header.reserved != 0 || header.threads < 1 || header.threads > kMaxThreads ||
      header.isa >= std::size(kIsaNumbers)) {
    fail("the plan's header is not valid: build it again");
  }
  const Isa isa = kIsaNumbers[header.isa];
  if (!supports(isa)) {
    fail("the plan needs {} instructions and this machine offers {}: build it here", name(isa),
         name(best_isa()));
  }
}

class Reader {
 public:
  Reader(const std::filesystem::path& path, const ir::OpTable& ops) : file_(path), ops_(ops) {}

  Plan read() {
    const PlanHeader header = read_header(file_.bytes());
    check_header(header);
    blobs_ = file_.bytes().subspan(header.blob_start);
    plan_.threads = static_cast<int>(header.threads);
    plan_.isa = kIsaNumbers[header.isa];
    const auto* text = reinterpret_cast<const char*>(file_.bytes().data()) + sizeof header;
    LineReader lines({text, header.text_bytes});
    read_graph(lines);
    while (!lines.done()) read_line(split_words(lines.line()));
    check_steps();
    check_memory(plan_);
    return std::move(plan_);
  }

 private:
  // A tensor that points into the mapped file.
  Tensor blob(DType dtype, const Shape& shape, size_t offset) const {
    const size_t bytes = static_cast<size_t>(element_count(shape)) * size_of(dtype);
    if (offset % kAlignment != 0 || offset > blobs_.size() || bytes > blobs_.size() - offset) {
      fail("a constant of the plan lies outside the file");
    }
    return Tensor(dtype, shape, std::shared_ptr<const std::byte>(file_.share(), blobs_.data() + offset));
  }

  void read_graph(LineReader& lines) {
    const auto words = split_words(lines.line());
    expect(words.size() == 2 && words[0] == "graph");
    const std::string_view text =
        lines.block(static_cast<size_t>(number_of(words[1], 0, kMaxNumber, "the graph's size")));
    ir::Graph& graph = plan_.graph;
    graph = ir::parse(
        text, [this](DType dtype, const Shape& shape, size_t offset) { return blob(dtype, shape, offset); });
    ir::verify(graph, ops_);
    std::vector<ir::Type> declared;
    for (size_t i = 0; i < graph.value_capacity(); ++i)
      declared.push_back(graph.value(static_cast<ir::ValueId>(i)).type);
    ir::infer_types(graph, ops_);
    for (size_t i = 0; i < declared.size(); ++i) {
      const ir::Value& value = graph.value(static_cast<ir::ValueId>(i));
      if (value.erased) continue;
      if (!(value.type == declared[i]) || !value.type.is_static())
        fail("the type of tensor '{}' does not hold", value.name);
    }
    plan_.offsets.assign(graph.value_capacity(), kNoOffset);
    plan_.input_count = graph.inputs().size();
  }

  static void expect(bool condition) {
    if (!condition) fail("the plan's text cannot be read: build it again");
  }

  void read_line(const std::vector<std::string>& words) {
    expect(words.size() >= 2);
    const std::string& kind = words[0];
    if (kind == "inputs") {
      plan_.input_count = static_cast<size_t>(
          number_of(words[1], 0, static_cast<int64_t>(plan_.graph.inputs().size()), "the input count"));
    } else if (kind == "arena") {
      plan_.arena_bytes = static_cast<size_t>(number_of(words[1], 0, kMaxNumber, "the arena's size"));
    } else if (kind == "info") {
      expect(words.size() == 3);
      plan_.info[words[1]] = words[2];
    } else if (kind == "needs") {
      expect(words.size() == 3);
      plan_.needs[words[1]] = words[2];
    } else if (kind == "place") {
      expect(words.size() == 3);
      const ir::ValueId id = plan_.graph.find_value(words[1]);
      expect(id != ir::kNone);
      plan_.offsets[static_cast<size_t>(id)] = number_of(words[2], 0, kMaxNumber, "an offset");
    } else if (kind == "step") {
      read_step(words);
    } else {
      read_packed(words);
    }
  }

  void read_step(const std::vector<std::string>& words) {
    expect(words.size() == 5);
    const ir::NodeId node = plan_.graph.find_node(words[1]);
    expect(node != ir::kNone);
    plan_.steps.push_back(
        {.node = node, .backend = words[2], .tactic = words[3], .fallback = words[4], .packed = {}});
  }

  void read_packed(const std::vector<std::string>& words) {
    expect(words[0] == "packed" && words.size() >= 3 && !plan_.steps.empty());
    const auto dtype = dtype_named(words[1]);
    expect(dtype.has_value());
    const auto offset = static_cast<size_t>(number_of(words[2], 0, kMaxNumber, "a constant's offset"));
    Shape shape;
    for (size_t i = 3; i < words.size(); ++i)
      shape.push_back(number_of(words[i], 0, kMaxNumber, "a dimension"));
    plan_.steps.back().packed.push_back(blob(*dtype, shape, offset));
  }

  // One step for each node, in an order in which every input is there before it is read; views that are
  // views.
  void check_steps() {
    const ir::Graph& graph = plan_.graph;
    const std::vector<ir::NodeId> order = graph.topological_order();
    expect(order.size() == plan_.steps.size());
    for (size_t i = 0; i < order.size(); ++i) {
      const PlanStep& step = plan_.steps[i];
      expect(step.node == order[i]);
      if (step.backend != kView) continue;
      const ir::Node& node = graph.node(step.node);
      expect(is_view(graph, node) && !graph.is_output(node.outputs[0]) && !graph.is_constant(node.inputs[0]));
    }
    size_t largest = 0;
    for (const auto& [id, range] : live_ranges(plan_)) {
      const size_t bytes = value_bytes(graph, id) + kAlignment;
      expect(bytes <= static_cast<size_t>(kMaxNumber) - largest);
      largest += bytes;
    }
    // The planner never needs more than all tensors side by side; a larger arena is not ours.
    if (plan_.arena_bytes > largest)
      fail("the plan's arena of {} bytes is larger than its tensors", plan_.arena_bytes);
  }

  MappedFile file_;
  const ir::OpTable& ops_;
  std::span<const std::byte> blobs_;
  Plan plan_;
};

}  // namespace

Plan read_plan(const std::filesystem::path& path, const ir::OpTable& ops) {
  return noting([&] { return "while reading " + path.string(); }, [&] { return Reader(path, ops).read(); });
}

}  // namespace kvant::engine
