// SPDX-License-Identifier: Apache-2.0
// The tile operations as AMX's instructions (Intel SDM volume 1, chapter 18). Tiles belong to a thread; they
// are configured for each size of piece and given back when a share of work is done. For GCC bug 105593 see
// tiles_avx512vnni.cc.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include "backends/cpu/kernels/qconv/dense_amx.h"

namespace kvant::backends::cpu {
namespace {

// What ldtilecfg reads.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};

  void set(int tile, int of_rows, int of_bytes) {
    rows[tile] = static_cast<uint8_t>(of_rows);
    row_bytes[tile] = static_cast<uint16_t>(of_rows == 0 ? 0 : of_bytes);  // a tile has both or neither
  }
};
static_assert(sizeof(TileConfig) == 64);

class AmxTiles {
 public:
  AmxTiles() = default;
  AmxTiles(const AmxTiles&) = delete;
  AmxTiles& operator=(const AmxTiles&) = delete;
  ~AmxTiles() {
    if (dwords_ != 0) asm volatile("tilerelease" ::: "memory");
  }

  KVANT_INLINE void configure(int first_rows, int second_rows, int dwords) {
    if (first_rows == first_ && second_rows == second_ && dwords == dwords_) return;
    first_ = first_rows, second_ = second_rows, dwords_ = dwords;
    TileConfig config;
    config.set(0, first_rows, 64);
    config.set(1, first_rows, 64);
    config.set(2, second_rows, 64);
    config.set(3, second_rows, 64);
    config.set(4, first_rows, 4 * dwords);
    config.set(5, second_rows, 4 * dwords);
    config.set(6, dwords, 64);
    config.set(7, dwords, 64);
    asm volatile("ldtilecfg %0" ::"m"(config));
  }

  template <int tile>
  KVANT_INLINE void load(const void* at, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(at), "r"(stride), "i"(tile) : "memory");
  }

  template <int tile>
  KVANT_INLINE void store(void* at, int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(at), "r"(stride), "i"(tile) : "memory");
  }

  template <int sums, int x, int w>
  KVANT_INLINE void dot(bool x_signed) {
    if (x_signed) {
      asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(sums), "i"(x), "i"(w));
    } else {
      asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(sums), "i"(x), "i"(w));
    }
  }

 private:
  int first_ = 0, second_ = 0, dwords_ = 0;
};

}  // namespace

constinit const QConvKernel kQConvAmx = tiled_kernel<AmxTiles>("qconv_s8s8_32x32_amx", Isa::Amx);

}  // namespace kvant::backends::cpu
