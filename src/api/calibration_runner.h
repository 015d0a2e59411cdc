// SPDX-License-Identifier: Apache-2.0
// The engine as calibration uses it: Q and DQ executed literally, tensors observable.
#pragma once

#include "quant/quantize.h"

namespace kvant::api {

quant::RunnerFactory calibration_runners(int threads);

}  // namespace kvant::api
