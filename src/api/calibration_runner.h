// SPDX-License-Identifier: Apache-2.0
// The engine as calibration uses it: Q and DQ executed literally, tensors observable.
#pragma once

#include <string_view>

#include "quant/quantize.h"

namespace kvant::api {

// `device`: as --device names it. Fails when there is no such device.
quant::RunnerFactory calibration_runners(int threads, std::string_view device = "cpu");

}  // namespace kvant::api
