// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "ops/shape_rules.h"
#include "ops/strided_copy.h"

namespace kvant::ops {

namespace {

std::vector<Tensor> evaluate_reverse_sequence(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  require_rank(args.node.op, x.shape(), 2);
  const int64_t batch_axis = args.attributes().integer("batch_axis", 1);
  const int64_t time_axis = args.attributes().integer("time_axis", 0);
  if (batch_axis + time_axis != 1 || batch_axis * time_axis != 0) {
    fail("ReverseSequence: batch_axis and time_axis must be 0 and 1, in either order");
  }
  const std::vector<int64_t> lengths = input_ints(args, 1, "sequence_lens");
  const int64_t batch = x.dim(static_cast<size_t>(batch_axis)), time = x.dim(static_cast<size_t>(time_axis));
  if (static_cast<int64_t>(lengths.size()) != batch)
    fail("ReverseSequence: {} lengths for {} sequences", lengths.size(), batch);
  Tensor y(x.dtype(), x.shape());
  if (y.size() == 0) return {y};
  const size_t row = static_cast<size_t>(count_from(x.shape(), 2)) * size_of(x.dtype());
  const auto offset = [&](int64_t b, int64_t t) {
    return static_cast<size_t>(batch_axis == 0 ? b * time + t : t * batch + b) * row;
  };
  std::byte* out = y.mutable_raw();
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t length = lengths[static_cast<size_t>(b)];
    if (length < 0 || length > time) fail("ReverseSequence: length {} in sequences of {}", length, time);
    for (int64_t t = 0; t < time; ++t) {
      std::memcpy(out + offset(b, t), x.raw() + offset(b, t < length ? length - 1 - t : t), row);
    }
  }
  return {y};
}

}  // namespace

// The first sequence_lens[b] steps of each sequence reversed; the rest as it is.
ir::OpDef reverse_sequence() {
  return {
      .name = "ReverseSequence",
      .min_inputs = 2,
      .max_inputs = 2,
      .attributes = {{"batch_axis", ir::AttributeKind::Integer}, {"time_axis", ir::AttributeKind::Integer}},
      .traits = ir::Trait::MovesData,
      .infer = same_type,
      .evaluate = evaluate_reverse_sequence};
}

}  // namespace kvant::ops
