// SPDX-License-Identifier: Apache-2.0
// What the bindings over oneDNN share; only bind_onednn*.cc include it. oneDNN runs on OpenMP's threads, so
// these steps are called on the executor's main thread and do not use the team.
#pragma once

#include <dnnl.hpp>

#include "backends/cpu/binding.h"

namespace kvant::backends::cpu {

// The CPU, with oneDNN held to KVANT_MAX_ISA.
const dnnl::engine& onednn_engine();

// oneDNN's refusals as ours.
template <class Fn>
auto translated(const engine::NodeView& view, Fn&& fn) {
  try {
    return fn();
  } catch (const dnnl::error& error) {
    fail("cpu: {}: oneDNN refuses it: {}", view.node.op, error.what());
  }
}

// For what the kernels of our own leave to it.
Binding onednn_softmax();
Binding onednn_layer_normalization();

}  // namespace kvant::backends::cpu
