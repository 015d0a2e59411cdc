// SPDX-License-Identifier: Apache-2.0
// --target and its parts, for the commands that write Q/DQ files.
#pragma once

#include <vector>

#include "cli/command.h"
#include "quant/targets/target.h"

namespace kvant::cli {

// --target, --activations, --fp16.
std::vector<Flag> target_flags();
// Their values; ranges are left empty. Fails (UsageError) on a combination that no target takes.
quant::TargetOptions target_options_of(const Flags& flags);
// What a quantization is to make of activations: --activations, or what suits the target.
quant::Codes activation_codes_of(const Flags& flags, int bits);
// The least opset of the file: --opset, and 19 where FP16 scales need it.
int target_opset(const Flags& flags);

Json to_json(const quant::TargetReport& report);
// What was rewritten, in a few lines; "" when nothing was.
std::string text_of(const quant::TargetReport& report);

}  // namespace kvant::cli
