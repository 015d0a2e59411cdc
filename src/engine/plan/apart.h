// SPDX-License-Identifier: Apache-2.0
// Whether the images of a batch go through a network without meeting, and the plan of one of them.
#pragma once

#include "engine/plan/plan.h"

namespace kvant::engine {

// The number of images in which the plan's network can be run one by one: every tensor between steps holds so
// many equal parts one after the other along its leading dimension, and every operator makes each part of its
// result of the same part of its operands, so that running the steps on each part gives the bytes of running
// them on all. 1 where operators mix images; those that are not known to keep them apart count as mixing.
int64_t images_apart(const Plan& plan);

// The same steps with the same packed constants over one of so many images, with an arena of one image; for
// one thread. Whether a tactic runs on it is the backend's to say when it is loaded.
Plan plan_of_one_image(const Plan& plan, int64_t images);

// What the packed constants of a plan are used for.
struct ConstantUse {
  double bytes = 0;
  double uses = 0;  // of a byte, on average, in one run: multiplications over bytes
};
ConstantUse use_of_constants(const Plan& plan);

}  // namespace kvant::engine
