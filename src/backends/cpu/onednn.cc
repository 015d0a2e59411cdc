// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/onednn.h"

#include "base/cpu.h"

namespace kvant::backends::cpu {

const dnnl::engine& onednn_engine() {
  static const dnnl::engine engine = [] {
    // It must be told before its first use.
    if (best_isa() == Isa::None) dnnl::set_max_cpu_isa(dnnl::cpu_isa::sse41);
    if (best_isa() == Isa::Avx2) dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx2);
    if (best_isa() == Isa::AvxVnni) dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx2_vnni);
    return dnnl::engine(dnnl::engine::kind::cpu, 0);
  }();
  return engine;
}

}  // namespace kvant::backends::cpu
