// SPDX-License-Identifier: Apache-2.0
// The tile operations of dense_amx.h in plain C++, as the manual defines them, for qconv_test.cc: all of the
// AMX kernel but its eight instructions runs on CPUs with AVX-512. For GCC bug 105593 see
// tiles_avx512vnni.cc.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include "backends/cpu/kernels/qconv/dense_amx.h"
#include "base/error.h"

namespace kvant::backends::cpu {
namespace {

class PortableTiles {
 public:
  void configure(int first_rows, int second_rows, int dwords) {
    KVANT_CHECK(first_rows > 0 && first_rows <= 16 && second_rows >= 0 && second_rows <= 16, "rows of tiles");
    KVANT_CHECK(dwords > 0 && dwords <= 16, "dwords of tiles");
    const int rows[8] = {first_rows, first_rows,  second_rows, second_rows,
                         first_rows, second_rows, dwords,      dwords};
    for (int i = 0; i < 8; ++i) {
      Tile& t = tiles_[i];
      t = {};  // ldtilecfg zeroes them
      t.rows = rows[i];
      t.bytes = rows[i] == 0 ? 0 : i == 4 || i == 5 ? 4 * dwords : 64;
    }
  }

  template <int tile>
  void load(const void* at, int64_t stride) {
    Tile& t = used(tile);
    for (int r = 0; r < t.rows; ++r)
      std::memcpy(t.data[r], static_cast<const std::byte*>(at) + r * stride, static_cast<size_t>(t.bytes));
  }

  template <int tile>
  void store(void* at, int64_t stride) {
    const Tile& t = used(tile);
    for (int r = 0; r < t.rows; ++r)
      std::memcpy(static_cast<std::byte*>(at) + r * stride, t.data[r], static_cast<size_t>(t.bytes));
  }

  template <int sums, int x, int w>
  void dot(bool x_signed) {
    Tile &c = used(sums), &a = used(x), &b = used(w);
    KVANT_CHECK(c.rows == a.rows && a.bytes == 4 * b.rows && c.bytes == b.bytes, "tiles that fit");
    for (int m = 0; m < c.rows; ++m) {
      for (int n = 0; n < c.bytes / 4; ++n) {
        int32_t sum;
        std::memcpy(&sum, c.data[m] + 4 * n, 4);
        for (int k = 0; k < a.bytes; ++k) {
          const uint8_t code = a.data[m][k];
          sum += (x_signed ? static_cast<int8_t>(code) : code) *
                 static_cast<int8_t>(b.data[k / 4][4 * n + k % 4]);
        }
        std::memcpy(c.data[m] + 4 * n, &sum, 4);
      }
    }
  }

 private:
  struct Tile {
    int rows = 0, bytes = 0;
    uint8_t data[16][64] = {};
  };
  Tile& used(int tile) {
    KVANT_CHECK(tiles_[tile].rows > 0, "a tile without rows, where the instruction faults");
    return tiles_[tile];
  }
  Tile tiles_[8];
};

}  // namespace

extern const QConvKernel kQConvPortableTiles;
constinit const QConvKernel kQConvPortableTiles =
    tiled_kernel<PortableTiles>("qconv_s8s8_32x32_portable_tiles", Isa::Avx512vnni);

}  // namespace kvant::backends::cpu
