// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/emulator/warpgroup.h"

#include <algorithm>

#include "base/error.h"

namespace kvant::backends::cuda {
namespace {

using emulator::Machine;
using emulator::Mbarrier;

[[noreturn]] void fault(std::string_view what) { Machine::machine().fault(what); }

emulator::Block& block() { return *Machine::current().block; }

// The offset of `bytes` bytes within this block's shared memory.
uint32_t shared_offset(const void* p, size_t bytes) {
  device::check_shared(p, bytes);
  return static_cast<uint32_t>(static_cast<const uint8_t*>(p) - block().shared);
}

Mbarrier& mbarrier(const uint64_t* p) {
  device::check_aligned(p, 8);
  const auto found = block().mbarriers.find(shared_offset(p, 8));
  if (found == block().mbarriers.end()) fault("an mbarrier that was not initialized");
  return found->second;
}

void end_phase_if_complete(Mbarrier& barrier) {
  if (barrier.missing != 0 || barrier.missing_bytes != 0) return;
  barrier.missing = barrier.expected;
  ++barrier.phases;
}

// The hardware exchanges chunks by bits of the address, whatever the tile's start.
uint32_t swizzled(uint32_t address, Swizzle swizzle) {
  const uint32_t mask = swizzle == Swizzle::Bytes128  ? 7
                        : swizzle == Swizzle::Bytes64 ? 3
                        : swizzle == Swizzle::Bytes32 ? 1
                                                      : 0;
  return address ^ ((address >> 7 & mask) << 4);
}

int row_bytes(Swizzle swizzle) { return 16 << static_cast<int>(swizzle); }

// Writes one row of a box, `bytes` of which the first is number `first` of `limit` in the tensor's row.
void land_row(const emulator::TensorCopy& copy, uint32_t to, const uint8_t* row, int64_t first, int64_t limit,
              int bytes) {
  for (int i = 0; i < bytes; i += 16) {
    uint8_t chunk[16] = {};
    for (int j = 0; row != nullptr && j < 16; ++j) {
      const int64_t at = first + i + j;
      if (at >= 0 && at < limit) chunk[j] = row[at];
    }
    std::memcpy(copy.block->shared + swizzled(to + static_cast<uint32_t>(i), copy.form.swizzle), chunk, 16);
  }
}

void land_tile(const emulator::TensorCopy& copy) {
  const TensorMapForm& form = copy.form;
  int index[kMostTensorRank] = {};
  for (uint32_t to = copy.to;; to += form.box[0]) {
    const auto* row = static_cast<const uint8_t*>(form.address);
    for (int i = 1; i < form.rank && row != nullptr; ++i) {
      const int64_t at = int64_t{copy.at[i]} + index[i] * form.steps[i];
      row = at >= 0 && at < form.dims[i] ? row + static_cast<uint64_t>(at) * form.strides[i - 1] : nullptr;
    }
    land_row(copy, to, row, copy.at[0], form.dims[0], form.box[0]);
    int i = 1;
    for (; i < form.rank && ++index[i] == form.elements(i); ++i) index[i] = 0;
    if (i >= form.rank) return;
  }
}

void land_pixels(const emulator::TensorCopy& copy) {
  const TensorMapForm& form = copy.form;
  const auto in = [&form](int64_t at, int i) { return at >= 0 && at < form.dims[i]; };
  const int64_t last_w = int64_t{form.dims[1]} - 1 + form.upper[0],
                last_h = int64_t{form.dims[2]} - 1 + form.upper[1];
  int64_t w = copy.at[1], h = copy.at[2], n = copy.at[3];
  for (int i = 0; i < form.pixels; ++i) {
    const int64_t column = w + copy.offset_w, line = h + copy.offset_h;
    const uint8_t* row = nullptr;
    if (in(column, 1) && in(line, 2) && in(n, 3)) {
      row = static_cast<const uint8_t*>(form.address) + static_cast<uint64_t>(column) * form.strides[0] +
            static_cast<uint64_t>(line) * form.strides[1] + static_cast<uint64_t>(n) * form.strides[2];
    }
    land_row(copy, copy.to + static_cast<uint32_t>(i * form.channels), row, copy.at[0], form.dims[0],
             form.channels);
    if ((w += form.steps[1]) <= last_w) continue;
    w = form.lower[0];
    if ((h += form.steps[2]) <= last_h) continue;
    h = form.lower[1];
    n += form.steps[3];
  }
}

void land_tensor_copy(const emulator::TensorCopy& copy) {
  if (copy.form.im2col) {
    land_pixels(copy);
  } else {
    land_tile(copy);
  }
  copy.barrier->missing_bytes -= copy.form.copied_bytes();
  end_phase_if_complete(*copy.barrier);
}

// What cuTensorMapEncode... and the copy itself demand; "" when all is well.
std::string_view why_not(const TensorMapForm& form, int rank) {
  if (form.rank != rank) return "a tensor map of another rank than the copy";
  if (reinterpret_cast<uintptr_t>(form.address) % 16 != 0 || form.address == nullptr)
    return "a tensor whose address is not a multiple of 16";
  for (int i = 0; i < rank; ++i) {
    if (i > 0 && (form.strides[i - 1] % 16 != 0 || form.strides[i - 1] >> 40 != 0))
      return "a tensor whose strides are not multiples of 16 below 2^40";
    if (form.dims[i] == 0) return "a tensor with an empty dimension";
    if (form.steps[i] < 1 || form.steps[i] > 8) return "steps through a tensor beyond 1...8";
    if (!form.im2col && (form.box[i] < 1 || form.box[i] > 256)) return "a box beyond 1...256";
  }
  const int inner = form.im2col ? form.channels : form.box[0];
  if (inner % 16 != 0 || inner < 1 || inner > 256) return "a box whose rows are not multiples of 16 bytes";
  if (form.swizzle != Swizzle::None && inner != row_bytes(form.swizzle))
    return "a box whose rows are not as long as its swizzle's";
  if (form.im2col && (form.pixels < 1 || form.pixels > 1024)) return "an im2col box beyond 1024 pixels";
  return "";
}

void issue_tensor_copy(emulator::TensorCopy copy, void* shared, const TensorMap& map, int rank,
                       uint64_t* barrier) {
  device::check_aligned(&map, alignof(TensorMap));
  copy.form = map.form();
  if (const auto reason = why_not(copy.form, rank); !reason.empty()) fault(reason);
  device::check_aligned(shared, 128);
  copy.to = shared_offset(shared, static_cast<size_t>(copy.form.copied_bytes()));
  copy.block = &block();
  copy.barrier = &mbarrier(barrier);
  if (!copy.barrier->published) fault("a tensor copy announces to an mbarrier that no fence has published");
  Machine::machine().issue(copy);
}

// 32 bytes of row `row` of an operand; layouts of "matrix descriptor" in the PTX manual, K-major.
void read_operand(uint64_t descriptor, int row, uint8_t (&to)[32]) {
  const auto field = [descriptor](int bit) { return static_cast<uint32_t>(descriptor >> bit & 0x3fff) << 4; };
  const auto layout = static_cast<int>(descriptor >> 62);
  const Swizzle swizzle = layout == 0 ? Swizzle::None : static_cast<Swizzle>(4 - layout);
  const uint32_t pitch = layout == 0 ? 16 : static_cast<uint32_t>(row_bytes(swizzle));
  for (uint32_t chunk = 0; chunk < 2; ++chunk) {
    const uint32_t linear = field(0) + static_cast<uint32_t>(row / 8) * field(32) +
                            static_cast<uint32_t>(row % 8) * pitch + chunk * (layout == 0 ? field(16) : 16);
    const uint32_t at = swizzled(linear, swizzle);
    if (at + 16 > block().shared_bytes) fault("wgmma reads outside of shared memory");
    std::memcpy(to + chunk * 16, block().shared + at, 16);
  }
}

void check_descriptor(uint64_t descriptor) {
  constexpr uint64_t kReserved = 0x3ff1'c000'c000'c000;  // bits that must be 0
  if ((descriptor & kReserved) != 0) fault("a descriptor of wgmma with reserved bits");
  if ((descriptor >> 49 & 7) != 0) fault("a descriptor of wgmma with a base offset");
  const auto layout = static_cast<int>(descriptor >> 62);
  if (layout == 0) return;
  const uint32_t start = static_cast<uint32_t>(descriptor & 0x3fff) << 4;
  const auto pitch = static_cast<uint32_t>(row_bytes(static_cast<Swizzle>(4 - layout)));
  if (start % (8 * pitch) >= pitch) fault("a descriptor of wgmma that starts within a repeat of its swizzle");
}

// Where the PTX manual puts the sums of m64nNk32: thread t of the warpgroup holds rows 16 * (t / 32) + t % 32
// / 4 and 8 more, columns 8 * j + 2 * (t % 4) and one more.
void land_product(const emulator::WarpgroupProduct& product) {
  constexpr int kRows = 64, kInner = 32;
  static thread_local int16_t a[kRows][kInner], b[256][kInner];
  uint8_t bytes[kInner];
  for (int row = 0; row < kRows; ++row) {
    read_operand(product.a, row, bytes);
    for (int k = 0; k < kInner; ++k) a[row][k] = product.a_signed ? static_cast<int8_t>(bytes[k]) : bytes[k];
  }
  for (int column = 0; column < product.columns; ++column) {
    read_operand(product.b, column, bytes);
    for (int k = 0; k < kInner; ++k) b[column][k] = static_cast<int8_t>(bytes[k]);
  }
  for (int t = 0; t < emulator::kWarpgroupThreads; ++t) {
    for (int i = 0; i < product.columns / 2; ++i) {
      const int16_t* row = a[t / 32 * 16 + t % 32 / 4 + (i >> 1 & 1) * 8];
      const int16_t* column = b[i / 4 * 8 + t % 4 * 2 + (i & 1)];
      int32_t sum = 0;
      for (int k = 0; k < kInner; ++k) sum += row[k] * column[k];
      int& total = product.sums[t][i];
      total = static_cast<int>(static_cast<uint32_t>(total) + static_cast<uint32_t>(sum));
    }
  }
}

emulator::Warpgroup& warpgroup() {
  const unsigned index = Machine::current().index / emulator::kWarpgroupThreads;
  if (index >= block().warpgroups.size()) fault("wgmma by threads that are no whole warpgroup");
  return block().warpgroups[index];
}

}  // namespace

namespace emulator {

void Machine::issue(const TensorCopy& copy) {
  counters_.copied_bytes += copy.form.copied_bytes();
  if (at_once()) {
    land_tensor_copy(copy);
  } else {
    tensor_copies_.push_back(copy);
  }
}

// The oldest, or any.
bool Machine::land_a_tensor_copy() {
  if (tensor_copies_.empty()) return false;
  const size_t i = options_.shuffle ? random_.below(tensor_copies_.size()) : 0;
  const TensorCopy copy = tensor_copies_[i];
  tensor_copies_.erase(tensor_copies_.begin() + static_cast<std::ptrdiff_t>(i));
  land_tensor_copy(copy);
  return true;
}

}  // namespace emulator

namespace device {

void init_mbarrier(uint64_t* barrier, int arrivals) {
  check_aligned(barrier, 8);
  const uint32_t at = shared_offset(barrier, 8);
  if (arrivals < 1 || arrivals > (1 << 20) - 1) fault("an mbarrier for too few or too many arrivals");
  const auto [known, fresh] = block().mbarriers.try_emplace(at);
  if (!fresh) fault("an mbarrier is initialized twice");
  known->second.at = at;
  known->second.expected = known->second.missing = arrivals;
}

void publish_mbarriers() {
  for (auto& [at, barrier] : block().mbarriers) barrier.published = true;
}

void arrive(uint64_t* barrier) {
  Mbarrier& b = mbarrier(barrier);
  if (b.missing == 0) fault("more arrivals at an mbarrier than its phase has");
  --b.missing;
  end_phase_if_complete(b);
}

void arrive_expecting(uint64_t* barrier, int bytes) {
  mbarrier(barrier).missing_bytes += bytes;
  arrive(barrier);
}

void wait_phase(uint64_t* barrier, int parity) {
  Mbarrier& b = mbarrier(barrier);
  emulator::Thread& thread = Machine::current();
  while (static_cast<int>(b.phases & 1) == parity) {
    thread.waits_on = &b.phases;
    thread.waits_while = b.phases;
    thread.waits_at = "an mbarrier";
    thread.waits_for = &b;
    thread.fiber->suspend();
  }
}

void barrier_of(int id, int threads) {
  if (id < 1 || id >= emulator::kNamedBarriers || threads % emulator::kLanes != 0)
    fault("a named barrier is 1...15 and for whole warps");
  Machine::machine().arrive_and_wait(block().named[id], threads, "a named barrier");
}

void issue_tile(void* shared, const TensorMap& map, const int* at, int rank, uint64_t* barrier) {
  emulator::TensorCopy copy{};
  std::copy_n(at, rank, copy.at);
  if (map.form().im2col) fault("a tiled copy by an im2col tensor map");
  issue_tensor_copy(copy, shared, map, rank, barrier);
}

void copy_pixels(void* shared, const TensorMap& map, int c, int w, int h, int n, int offset_w, int offset_h,
                 uint64_t* barrier) {
  const TensorMapForm form = map.form();
  if (!form.im2col) fault("an im2col copy by a tiled tensor map");
  const auto outside = [&form](int at, int i) {
    return at < form.lower[i] || at > static_cast<int64_t>(form.dims[i + 1]) - 1 + form.upper[i];
  };
  if (outside(w, 0) || outside(h, 1)) fault("an im2col copy that starts outside of its box");
  if (offset_w < 0 || offset_w > 255 || offset_h < 0 || offset_h > 255)
    fault("an im2col copy with an offset beyond 0...255");
  issue_tensor_copy({nullptr, 0, {}, {c, w, h, n}, offset_w, offset_h, nullptr}, shared, map, 4, barrier);
}

void check_owned(int group, const char* what) {
  if (group >= Machine::current().products_known)
    fault(fmt::format("a sum is {} before the wgmma that makes it was waited for", what));
}

uint64_t make_descriptor(const void* shared, int pitch) {
  const uint64_t layout = pitch == 128 ? 1 : pitch == 64 ? 2 : 3;
  return shared_offset(shared, 1) >> 4 | uint64_t{1} << 16 | static_cast<uint64_t>(pitch * 8 >> 4) << 32 |
         layout << 62;
}

void fence_warpgroup() {
  collective("wgmma.fence", nullptr, [](void* const*) {});
  ++Machine::current().product_fences;
}

void issue_product(int* sums, int columns, bool a_signed, int written, uint64_t a, uint64_t b) {
  struct Arguments {
    int* sums;
    int columns, group;
    bool a_signed;
    uint64_t a, b;
  };
  emulator::Thread& thread = Machine::current();
  if (written >= thread.product_fences) fault("wgmma without a wgmma.fence after its registers were written");
  emulator::Warpgroup& own = warpgroup();
  Arguments arguments{sums, columns, thread.product_group, a_signed, a, b};
  own.arguments[thread.index % emulator::kWarpgroupThreads] = &arguments;
  Machine& machine = Machine::machine();
  if (own.meeting.arrived + 1 < emulator::kWarpgroupThreads) {
    machine.arrive_and_wait(own.meeting, emulator::kWarpgroupThreads, "wgmma");
    return;
  }
  check_descriptor(a);
  check_descriptor(b);
  emulator::WarpgroupProduct product{a, b, columns, a_signed, arguments.group, {}};
  for (int i = 0; i < emulator::kWarpgroupThreads; ++i) {
    const auto& other = *static_cast<const Arguments*>(own.arguments[i]);
    if (other.a != a || other.b != b || other.columns != columns || other.a_signed != a_signed ||
        other.group != arguments.group)
      fault("threads of a warpgroup are at different wgmma");
    product.sums[i] = other.sums;
  }
  machine.counters().wgmma += columns / 8;
  own.products.push_back(product);
  if (machine.at_once()) {
    for (const auto& each : own.products) land_product(each);
    own.products.clear();
  }
  machine.arrive_and_wait(own.meeting, emulator::kWarpgroupThreads, "wgmma");
}

void commit_products() {
  collective("wgmma.commit_group", nullptr, [](void* const*) {});
  ++Machine::current().product_group;
}

void wait_for_products(int pending) {
  collective("wgmma.wait_group", nullptr, [](void* const*) {});
  emulator::Thread& thread = Machine::current();
  emulator::Warpgroup& own = warpgroup();
  const int ended = std::max(0, thread.product_group - pending);
  while (!own.products.empty() && own.products.front().group < ended) {
    land_product(own.products.front());
    own.products.pop_front();
  }
  thread.products_known = std::max(thread.products_known, ended);
}

}  // namespace device
}  // namespace kvant::backends::cuda
