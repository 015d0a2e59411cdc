// SPDX-License-Identifier: Apache-2.0
// The threshold whose codes lose the least information, as NVIDIA published it: S. Migacz, "8-bit Inference
// with TensorRT" (GTC 2017), in the form that pytorch-quantization made of it. The steps, for L =
// 2^(bits-1) levels of magnitude (2^bits for affine codes of data without negatives):
//   1. 2048 equal bins over [0, amax] count magnitudes; the first bin takes the count of the second, so that
//      the zeros of a ReLU, which every scale represents exactly, do not decide.
//   2. For i from 128 (from L where that is more) to 2048: P is the first i bins, the counts of all later
//      ones added to its last. Q is the first i bins merged into L levels (bin j into level floor(j L / i)),
//      each level's count spread evenly over those of its bins that are not empty.
//   3. Both are normalized; the divergence is sum P log(P / Q), infinite where Q is zero and P is not.
//   4. The threshold is the upper edge of bin i with the least divergence (of equal ones the last).
// Beyond the publication: A threshold that clips more than 10 % of what is not zero is not considered. Where
// one value is very frequent (the constant of a dead channel, a padded border), clipping at its bin looks
// free of loss, for the clipped values vanish among it: networks with ReLU6 lost all accuracy so. And 2048
// equal bins see nothing of data whose bulk lies in a few of them because of an outlier. While fewer than 128
// bins hold something, the range is halved, as long as at most 1 % of the values lie beyond; those count as
// later bins. Data that the published bins resolve is not touched.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "quant/calibrate/value_histogram.h"

namespace kvant::quant {
namespace {

constexpr int kBins = 2048, kFirst = 128;
constexpr double kMostClipped = 0.1;

struct EqualBins {
  std::vector<double> counts;
  double beyond = 0;  // values above the range
  int occupied = 0;
};

// Values are taken to lie evenly in their bin of the histogram, which is at most a sixteenth as wide, and the
// counts below each edge are rounded: a single value goes to one side, so that empty bins stay empty, and a
// dense bin is split as it should be.
EqualBins equal_bins(const std::vector<MagnitudeHistogram::Bin>& bins, double range, bool to_the_end) {
  EqualBins result{.counts = std::vector<double>(kBins, 0.0)};
  double before = 0, counted = 0;  // values in the bins before `next`; values below the last edge
  size_t next = 0;
  for (size_t i = 0; i < kBins; ++i) {
    const double edge = range * static_cast<double>(i + 1) / kBins;
    const auto ends_below = [&](const MagnitudeHistogram::Bin& bin) {
      return static_cast<double>(bin.low) + static_cast<double>(bin.width) <= edge;
    };
    while (next < bins.size() && ((to_the_end && i + 1 == kBins) || ends_below(bins[next]))) {
      before += static_cast<double>(bins[next++].count);
    }
    double below = before;
    if (next < bins.size() && static_cast<double>(bins[next].low) < edge) {
      const double part =
          (edge - static_cast<double>(bins[next].low)) / static_cast<double>(bins[next].width);
      below += std::nearbyint(part * static_cast<double>(bins[next].count));
    }
    result.counts[i] = below - counted;
    result.occupied += below > counted ? 1 : 0;
    counted = below;
  }
  for (const MagnitudeHistogram::Bin& bin : bins) result.beyond += static_cast<double>(bin.count);
  result.beyond -= counted;
  return result;
}

// Sums over the first i bins: of counts, of bins that hold something, of count * log(count).
struct Sums {
  double count = 0, occupied = 0, logs = 0;
};

double xlogx(double x) { return x > 0 ? x * std::log(x) : 0; }

// Divergence of step 3 for thresholds at bin i.
double divergence(const std::vector<Sums>& upto, const std::vector<double>& counts, double beyond, size_t i,
                  size_t levels) {
  const double kept = upto[i].count;
  const double clipped = upto[kBins].count - kept + beyond;
  const double all = kept + clipped;
  const double last = counts[i - 1];
  if (kept == 0 || (last == 0 && clipped > 0)) return std::numeric_limits<double>::infinity();
  // sum P log P, then sum P log Q, where Q is the same in all bins of a level that hold something.
  const double p_logs = (upto[i].logs - xlogx(last) + xlogx(last + clipped)) / all - std::log(all);
  double q_logs = 0;
  size_t begin = 0;
  for (size_t level = 0; level < levels; ++level) {
    const size_t end = ((level + 1) * i + levels - 1) / levels;  // first j with floor(j L / i) > level
    const double here = upto[end].count - upto[begin].count;
    const double occupied = upto[end].occupied - upto[begin].occupied;
    const double share = here + (end == i ? clipped : 0.0);
    if (here > 0) q_logs += share / all * std::log(here / occupied / kept);
    begin = end;
    if (end == i) break;
  }
  return p_logs - q_logs;
}

// Steps 2 to 4, as a share of the range.
double threshold(EqualBins bins, size_t levels) {
  double values = bins.beyond;
  for (const double count : bins.counts) values += count;
  bins.counts[0] = bins.counts[1];
  std::vector<Sums> upto(kBins + 1);
  for (size_t i = 0; i < kBins; ++i) {
    const double count = bins.counts[i];
    upto[i + 1] = {upto[i].count + count, upto[i].occupied + (count > 0 ? 1 : 0),
                   upto[i].logs + xlogx(count)};
  }
  size_t best = kBins;
  double least = std::numeric_limits<double>::infinity();
  for (size_t i = std::max(size_t{kFirst}, levels); i <= kBins; ++i) {
    if (upto[kBins].count - upto[i].count + bins.beyond > kMostClipped * values) continue;
    const double here = divergence(upto, bins.counts, bins.beyond, i, levels);
    if (here > least) continue;
    least = here;
    best = i;
  }
  return least < std::numeric_limits<double>::infinity() ? static_cast<double>(best) / kBins : 1.0;
}

}  // namespace

Range entropy_range(const ValueHistogram& histogram, const CalibratorOptions& options) {
  const std::vector<MagnitudeHistogram::Bin> bins = histogram.magnitudes().bins();
  const Range widest = histogram.widest();
  if (bins.empty()) return widest;
  const bool one_sided = options.codes == Codes::Affine && widest.low >= 0;
  const size_t levels = size_t{1} << (options.bits - (one_sided ? 0 : 1));
  double values = 0;
  for (const MagnitudeHistogram::Bin& bin : bins) values += static_cast<double>(bin.count);

  double range = widest.amax();
  EqualBins best = equal_bins(bins, range, true);
  for (double narrower = range / 2; best.occupied < kFirst; narrower /= 2) {
    EqualBins finer = equal_bins(bins, narrower, false);
    if (finer.beyond > 0.01 * values) break;
    if (finer.occupied < kFirst) continue;
    best = std::move(finer);
    range = narrower;
  }
  return histogram.cut_at(static_cast<float>(range * threshold(std::move(best), levels)));
}

std::unique_ptr<Calibrator> entropy_calibrator(const CalibratorOptions& options) {
  return histogram_calibrator(entropy_range, options);
}

}  // namespace kvant::quant
