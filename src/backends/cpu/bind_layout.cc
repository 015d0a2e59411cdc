// SPDX-License-Identifier: Apache-2.0
// Operators that move data: copies (Reshape and its kin), Transpose, Concat.
#include <algorithm>
#include <cstring>
#include <type_traits>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "backends/cpu/operands.h"

namespace kvant::backends::cpu {
namespace {

constexpr int64_t kGrain = 16384;

// ---- Reshape, Flatten, Squeeze, Unsqueeze, Identity.
// ----------------------------------------------------------------

std::vector<std::string> copy_tactics(const engine::NodeView& view, std::string&) {
  const Operands operands(view);
  require(view,
          operands.dtype(0) == view.outputs.at(0).dtype &&
              element_count(operands.shape(0)) == element_count(output_shape(view)),
          "x and y differ in type or size");
  return {"copy"};
}

std::unique_ptr<engine::Step> copy_load(const engine::NodeView& view, std::string_view tactic,
                                        std::vector<Tensor> packed) {
  require(view, tactic == "copy", fmt::format("unknown tactic '{}'", tactic));
  Operands operands(view, std::move(packed));
  require(view,
          operands.dtype(0) == view.outputs.at(0).dtype &&
              element_count(operands.shape(0)) == element_count(output_shape(view)),
          "x and y differ in type or size");
  const int64_t bytes = element_count(operands.shape(0)) * static_cast<int64_t>(size_of(operands.dtype(0)));
  return function_step([bytes, x = operands.take(0)](const engine::RunArgs& args) {
    const std::byte* from = Operands::pointer(x, args, 0);
    std::byte* to = args.outputs[0];
    if (from == to) return;
    spread_range(args.team, bytes, 4 * kGrain, [&](int64_t i, int64_t end) {
      std::memcpy(to + i, from + i, static_cast<size_t>(end - i));
    });
  });
}

// ---- Transpose.
// -----------------------------------------------------------------------------------------------------

// The axes of a transposition after those of size 1 are gone and neighbours that stay together are joined.
struct Permuted {
  Shape shape;                // of x
  std::vector<size_t> order;  // y.shape[i] = shape[order[i]]
};

Permuted simplified(const Shape& shape, const std::vector<int64_t>& permutation) {
  std::vector<size_t> order;
  for (const int64_t axis : permutation) {
    if (shape[static_cast<size_t>(axis)] != 1) order.push_back(static_cast<size_t>(axis));
  }
  std::vector<size_t> kept(order);
  std::sort(kept.begin(), kept.end());
  Permuted result;
  std::vector<size_t> place(shape.size(), 0);
  for (size_t i = 0; i < kept.size(); ++i) {
    const size_t axis = kept[i];
    const auto at = std::find(order.begin(), order.end(), axis);
    const bool joins = i > 0 && at != order.begin() && *(at - 1) == kept[i - 1];
    if (joins) {
      result.shape.back() *= shape[axis];
    } else {
      result.shape.push_back(shape[axis]);
    }
    place[axis] = result.shape.size() - 1;
  }
  for (const size_t axis : order) {
    if (result.order.empty() || result.order.back() != place[axis]) result.order.push_back(place[axis]);
  }
  return result;
}

// y[i * y_step + j] = x[j * x_step + i] for i and j below 4, of 4-byte elements.
void transpose_four(const uint32_t* x, int64_t x_step, uint32_t* y, int64_t y_step) {
#if defined(__SSE2__)
  __m128i row[4];
  for (int j = 0; j < 4; ++j) row[j] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + j * x_step));
  const __m128i low01 = _mm_unpacklo_epi32(row[0], row[1]), low23 = _mm_unpacklo_epi32(row[2], row[3]);
  const __m128i high01 = _mm_unpackhi_epi32(row[0], row[1]), high23 = _mm_unpackhi_epi32(row[2], row[3]);
  const __m128i column[4] = {_mm_unpacklo_epi64(low01, low23), _mm_unpackhi_epi64(low01, low23),
                             _mm_unpacklo_epi64(high01, high23), _mm_unpackhi_epi64(high01, high23)};
  for (int i = 0; i < 4; ++i) _mm_storeu_si128(reinterpret_cast<__m128i*>(y + i * y_step), column[i]);
#else
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) y[i * y_step + j] = x[j * x_step + i];
  }
#endif
}

// [rows, columns] -> [columns, rows] for rows of y in [first, last), in blocks that stay in the cache.
template <class T>
void transpose_plane(const T* x, T* y, int64_t rows, int64_t columns, int64_t first, int64_t last) {
  constexpr int64_t kBlock = 32;
  for (int64_t c = first; c < last; c += kBlock) {
    const int64_t c_end = std::min(last, c + kBlock);
    for (int64_t r = 0; r < rows; r += kBlock) {
      const int64_t r_end = std::min(rows, r + kBlock);
      int64_t i = c;
      if constexpr (std::is_same_v<T, uint32_t>) {
        for (; i + 4 <= c_end; i += 4) {
          int64_t j = r;
          for (; j + 4 <= r_end; j += 4) transpose_four(x + j * columns + i, columns, y + i * rows + j, rows);
          for (; j < r_end; ++j) {
            for (int64_t k = i; k < i + 4; ++k) y[k * rows + j] = x[j * columns + k];
          }
        }
      }
      for (; i < c_end; ++i) {
        for (int64_t j = r; j < r_end; ++j) y[i * rows + j] = x[j * columns + i];
      }
    }
  }
}

// Three planes of bytes to pixels, as images come in. A pixel is written as four bytes, the fourth of which
// the next one replaces.
void interleave_three(const uint8_t* x, uint8_t* y, int64_t columns, int64_t first, int64_t last) {
  const uint8_t *a = x, *b = x + columns, *c = x + 2 * columns;
  for (int64_t i = first; i + 1 < last; ++i) {
    const uint32_t pixel =
        static_cast<uint32_t>(a[i]) | static_cast<uint32_t>(b[i]) << 8 | static_cast<uint32_t>(c[i]) << 16;
    std::memcpy(y + 3 * i, &pixel, 4);
  }
  if (first < last) transpose_plane(x, y, 3, columns, last - 1, last);
}

template <class T>
void permute(const Permuted& p, const T* x, T* y, engine::Team& team) {
  const std::vector<int64_t> strides = strides_of(p.shape);
  const size_t rank = p.order.size();
  const int64_t inner = p.shape[p.order[rank - 1]], inner_stride = strides[p.order[rank - 1]];
  spread_range(team, element_count(p.shape) / inner, kGrain / inner + 1, [&](int64_t first, int64_t last) {
    std::vector<int64_t> index(rank, 0);
    for (int64_t i = static_cast<int64_t>(rank) - 2, rest = first; i >= 0; --i) {
      const int64_t size = p.shape[p.order[static_cast<size_t>(i)]];
      index[static_cast<size_t>(i)] = rest % size;
      rest /= size;
    }
    for (int64_t row = first; row < last; ++row) {
      int64_t at = 0;
      for (size_t i = 0; i + 1 < rank; ++i) at += index[i] * strides[p.order[i]];
      T* out = y + row * inner;
      if (inner_stride == 1) {
        std::memcpy(out, x + at, static_cast<size_t>(inner) * sizeof(T));
      } else {
        for (int64_t i = 0; i < inner; ++i) out[i] = x[at + i * inner_stride];
      }
      for (size_t i = rank - 1; i-- > 0;) {
        if (++index[i] < p.shape[p.order[i]]) break;
        index[i] = 0;
      }
    }
  });
}

template <class T>
void transpose_elements(const Permuted& p, const std::byte* from, std::byte* to, engine::Team& team) {
  const T* x = reinterpret_cast<const T*>(from);
  T* y = reinterpret_cast<T*>(to);
  const size_t rank = p.order.size();
  if (rank <= 1) {
    std::memcpy(to, from, static_cast<size_t>(element_count(p.shape)) * sizeof(T));
  } else if (rank == 2 || (rank == 3 && p.order[0] == 0)) {
    const int64_t rows = p.shape[rank - 2], columns = p.shape[rank - 1];
    const int64_t planes = rank == 3 ? p.shape[0] : 1;
    for (int64_t plane = 0; plane < planes; ++plane) {
      spread_range(team, columns, kGrain / rows + 1, [&](int64_t first, int64_t last) {
        if constexpr (sizeof(T) == 1) {
          if (rows == 3)
            return interleave_three(x + plane * rows * columns, y + plane * rows * columns, columns, first,
                                    last);
        }
        transpose_plane(x + plane * rows * columns, y + plane * rows * columns, rows, columns, first, last);
      });
    }
  } else {
    permute(p, x, y, team);
  }
}

Permuted describe_transpose(const engine::NodeView& view, const Operands& operands) {
  const Shape& x = operands.shape(0);
  std::vector<int64_t> permutation = view.node.attributes.integers("perm", {});
  for (size_t i = x.size(); permutation.empty() && i-- > 0;) permutation.push_back(static_cast<int64_t>(i));
  std::vector<int64_t> sorted(permutation);
  std::sort(sorted.begin(), sorted.end());
  for (size_t i = 0; i < sorted.size(); ++i) {
    require(view, sorted[i] == static_cast<int64_t>(i), "attribute perm is not a permutation");
  }
  const Shape& y = output_shape(view);
  require(view, permutation.size() == x.size() && y.size() == x.size() && !x.empty(),
          "perm, x and y differ in rank");
  for (size_t i = 0; i < y.size(); ++i) {
    require(view, y[i] == x[static_cast<size_t>(permutation[i])], "the result has not the permuted shape");
  }
  require(view, operands.dtype(0) == view.outputs.at(0).dtype, "x and y differ in type");
  require(view, element_count(x) > 0, "x is empty");
  return simplified(x, permutation);
}

std::vector<std::string> transpose_tactics(const engine::NodeView& view, std::string&) {
  describe_transpose(view, Operands(view));
  return {"transpose_plain"};
}

std::unique_ptr<engine::Step> transpose_load(const engine::NodeView& view, std::string_view tactic,
                                             std::vector<Tensor> packed) {
  require(view, tactic == "transpose_plain", fmt::format("unknown tactic '{}'", tactic));
  Operands operands(view, std::move(packed));
  const Permuted p = describe_transpose(view, operands);
  const size_t size = size_of(operands.dtype(0));
  return function_step([p, size, x = operands.take(0)](const engine::RunArgs& args) {
    const std::byte* from = Operands::pointer(x, args, 0);
    switch (size) {
      case 1:
        return transpose_elements<uint8_t>(p, from, args.outputs[0], args.team);
      case 2:
        return transpose_elements<uint16_t>(p, from, args.outputs[0], args.team);
      case 4:
        return transpose_elements<uint32_t>(p, from, args.outputs[0], args.team);
      default:
        return transpose_elements<uint64_t>(p, from, args.outputs[0], args.team);
    }
  });
}

// ---- Concat, QConcat.
// -----------------------------------------------------------------------------------------------

struct Joined {
  int64_t rows = 1, row_bytes = 0;  // of y
  std::vector<int64_t> bytes;       // of each input's row
};

Joined describe_concat(const engine::NodeView& view, const Operands& operands) {
  const Shape& y = output_shape(view);
  const size_t axis = static_cast<size_t>(normalize_axis(view.node.attributes.integer("axis", 0), y.size()));
  const DType dtype = view.outputs.at(0).dtype;
  Joined joined;
  for (size_t i = 0; i < axis; ++i) joined.rows *= y[i];
  int64_t along = 0;
  for (size_t i = 0; i < view.node.inputs.size(); ++i) {
    const Shape& x = operands.shape(i);
    require(view, operands.dtype(i) == dtype && x.size() == y.size(),
            fmt::format("input {} differs from y", i));
    Shape expected = y;
    expected[axis] = x[axis];
    require(view, x == expected, fmt::format("input {} is [{}], y is [{}]", i, to_string(x), to_string(y)));
    along += x[axis];
    joined.bytes.push_back(
        joined.rows == 0 ? 0 : element_count(x) / joined.rows * static_cast<int64_t>(size_of(dtype)));
    joined.row_bytes += joined.bytes.back();
  }
  require(view, along == y[axis], "the inputs do not add up to y");
  return joined;
}

std::vector<std::string> concat_tactics(const engine::NodeView& view, std::string&) {
  describe_concat(view, Operands(view));
  return {"concat_plain"};
}

std::unique_ptr<engine::Step> concat_load(const engine::NodeView& view, std::string_view tactic,
                                          std::vector<Tensor> packed) {
  require(view, tactic == "concat_plain", fmt::format("unknown tactic '{}'", tactic));
  Operands operands(view, std::move(packed));
  const Joined joined = describe_concat(view, operands);
  std::vector<std::optional<Tensor>> constants;
  for (size_t i = 0; i < joined.bytes.size(); ++i) constants.push_back(operands.take(i));
  return function_step([joined, constants](const engine::RunArgs& args) {
    spread_range(args.team, joined.rows, kGrain / (joined.row_bytes + 1) + 1, [&](int64_t row, int64_t end) {
      for (; row < end; ++row) {
        std::byte* to = args.outputs[0] + row * joined.row_bytes;
        for (size_t i = 0; i < joined.bytes.size(); ++i) {
          const std::byte* from = Operands::pointer(constants[i], args, i) + row * joined.bytes[i];
          if (to != from && joined.bytes[i] > 0) std::memcpy(to, from, static_cast<size_t>(joined.bytes[i]));
          to += joined.bytes[i];
        }
      }
    });
  });
}

}  // namespace

Binding bind_reshape() { return {"Reshape", copy_tactics, pack_constants, copy_load}; }
Binding bind_flatten() { return {"Flatten", copy_tactics, pack_constants, copy_load}; }
Binding bind_squeeze() { return {"Squeeze", copy_tactics, pack_constants, copy_load}; }
Binding bind_unsqueeze() { return {"Unsqueeze", copy_tactics, pack_constants, copy_load}; }
Binding bind_identity() { return {"Identity", copy_tactics, pack_constants, copy_load}; }
Binding bind_transpose() { return {"Transpose", transpose_tactics, pack_constants, transpose_load}; }
Binding bind_concat() { return {"Concat", concat_tactics, pack_constants, concat_load}; }
Binding bind_qconcat() { return {"QConcat", concat_tactics, pack_constants, concat_load}; }

}  // namespace kvant::backends::cpu
