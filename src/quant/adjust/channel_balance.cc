// SPDX-License-Identifier: Apache-2.0
#include "quant/adjust/channel_balance.h"

#include <algorithm>
#include <cmath>

namespace kvant::quant {
namespace {

// Channels below this share of the tensor's range are not raised further: what is tiny on the data may be
// larger elsewhere.
constexpr double kSmallestShare = 1.0 / 64;
// Factors that leave more of the noise than this are not worth a change.
constexpr double kWorthwhile = 0.99;

// What noise and shares need of a reader's weights, gone through once.
struct WeightSummary {
  const WeightedLayer* layer;
  std::vector<double> widest;   // outputs x inputs of a group: largest magnitude over the kernel
  std::vector<double> squares;  // by input: sum over all outputs

  explicit WeightSummary(const ChannelReader& reader)
      : layer(reader.layer),
        widest(static_cast<size_t>(layer->outputs * width()), 0.0),
        squares(static_cast<size_t>(layer->inputs), 0.0) {
    for (size_t i = 0; i < reader.weight.size(); ++i) {
      const auto [out, in] = layer->place(static_cast<int64_t>(i));
      double& most = widest[static_cast<size_t>(out * width() + in % width())];
      most = std::max(most, std::fabs(reader.weight[i]));
      squares[static_cast<size_t>(in)] += reader.weight[i] * reader.weight[i];
    }
  }
  int64_t width() const { return layer->inputs / layer->groups; }
  // Index of the first input that the output reads.
  size_t first_input(size_t output) const {
    return output / static_cast<size_t>(layer->outputs / layer->groups) * static_cast<size_t>(width());
  }
  // Range of the weights of each output, channels multiplied by their factors.
  std::vector<double> row_ranges(std::span<const double> factors) const {
    std::vector<double> rows(static_cast<size_t>(layer->outputs), 0.0);
    const auto columns = static_cast<size_t>(width());
    for (size_t k = 0; k < rows.size(); ++k) {
      const double* row = widest.data() + k * columns;
      const double* factor = factors.data() + first_input(k);
      for (size_t c = 0; c < columns; ++c) rows[k] = std::max(rows[k], row[c] * factor[c]);
    }
    return rows;
  }
};

std::vector<WeightSummary> summaries_of(std::span<const ChannelReader> readers) {
  std::vector<WeightSummary> summaries;
  for (const ChannelReader& reader : readers) summaries.emplace_back(reader);
  return summaries;
}

// The largest share of each input channel in the range of an output's weights.
std::vector<double> weight_shares(const std::vector<WeightSummary>& readers, size_t channels) {
  const std::vector<double> ones(channels, 1.0);
  std::vector<double> shares(channels, 0.0);
  for (const WeightSummary& reader : readers) {
    const std::vector<double> rows = reader.row_ranges(ones);
    const auto columns = static_cast<size_t>(reader.width());
    for (size_t k = 0; k < rows.size(); ++k) {
      if (rows[k] <= 0) continue;
      for (size_t c = 0; c < columns; ++c) {
        double& share = shares[reader.first_input(k) + c];
        share = std::max(share, reader.widest[k * columns + c] / rows[k]);
      }
    }
  }
  return shares;
}

std::vector<double> factors_of(const ChannelRanges& channels, const std::vector<double>& shares,
                               double strength) {
  const double widest = *std::max_element(channels.magnitude.begin(), channels.magnitude.end());
  std::vector<double> factors(shares.size(), 1.0);
  double logs = 0;
  size_t live = 0;
  for (size_t c = 0; c < shares.size(); ++c) {
    if (channels.magnitude[c] <= 0 || shares[c] <= 0) continue;
    const double magnitude = std::max(channels.magnitude[c] / widest, kSmallestShare);
    const double share = std::max(shares[c], kSmallestShare);
    factors[c] = std::pow(magnitude, strength) / std::pow(share, 1 - strength);
    logs += std::log(factors[c]);
    ++live;
  }
  if (live == 0) return factors;
  const double mean = std::exp(logs / static_cast<double>(live));
  for (size_t c = 0; c < shares.size(); ++c) {
    if (channels.magnitude[c] > 0 && shares[c] > 0) factors[c] /= mean;
  }
  return factors;
}

double noise_of(const ChannelRanges& channels, const std::vector<WeightSummary>& readers,
                std::span<const double> factors) {
  double step = 0;
  for (size_t c = 0; c < factors.size(); ++c) step = std::max(step, channels.magnitude[c] / factors[c]);
  double power = 0;
  for (const WeightSummary& reader : readers) {
    const std::vector<double> rows = reader.row_ranges(factors);
    const auto columns = static_cast<size_t>(reader.width());
    const auto taps = static_cast<double>(reader.layer->inner);
    for (size_t k = 0; k < rows.size(); ++k) {
      double read = 0;  // power of what the output reads
      for (size_t c = 0; c < columns; ++c) {
        const size_t in = reader.first_input(k) + c;
        read += channels.mean_square[in] / (factors[in] * factors[in]);
      }
      power += rows[k] * rows[k] * read * taps;
    }
    for (size_t c = 0; c < factors.size(); ++c)
      power += step * step * reader.squares[c] * factors[c] * factors[c];
  }
  return power;
}

}  // namespace

double noise_power(const ChannelRanges& channels, std::span<const ChannelReader> readers,
                   std::span<const double> factors) {
  return noise_of(channels, summaries_of(readers), factors);
}

std::vector<double> balance_channels(const ChannelRanges& channels, std::span<const ChannelReader> readers,
                                     std::optional<double> strength) {
  const std::vector<WeightSummary> summaries = summaries_of(readers);
  const std::vector<double> shares = weight_shares(summaries, channels.magnitude.size());
  if (strength) return factors_of(channels, shares, *strength);
  std::vector<double> best(shares.size(), 1.0);
  double least = noise_of(channels, summaries, best) * kWorthwhile;
  for (const double candidate : {0.25, 0.5, 0.75, 1.0}) {
    std::vector<double> factors = factors_of(channels, shares, candidate);
    const double power = noise_of(channels, summaries, factors);
    if (power < least) {
      least = power;
      best = std::move(factors);
    }
  }
  return best;
}

}  // namespace kvant::quant
