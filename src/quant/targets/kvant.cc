// SPDX-License-Identifier: Apache-2.0
//
// kvant's own engine: every type and zero point runs on the same instructions (kernels fold the offset),
// biases are added in float, and an addition or activation fuses into the layer before it unless a pair
// splits them.
#include "base/error.h"
#include "quant/targets/biases.h"
#include "quant/targets/output_pairs.h"

namespace kvant::quant {

void to_kvant(ir::Graph& graph, const ir::OpTable&, const TargetOptions& options, TargetReport& report) {
  if (options.fp16) fail("FP16 parts are for the target tensorrt; kvant's CPU kernels take float32");
  write_float_biases(graph, report);
  if (options.drop_output_pairs) drop_output_pairs(graph, report);
}

}  // namespace kvant::quant
