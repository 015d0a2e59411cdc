// SPDX-License-Identifier: Apache-2.0
#include "quant/adjust/channel_balance.h"

#include <algorithm>
#include <cmath>

namespace kvant::quant {
namespace {

// Channels below this share of the tensor's range are not raised further: what is tiny on the data may be
// larger elsewhere.
constexpr double kSmallestShare = 1.0 / 64;

std::vector<double> row_ranges(const ChannelReader& reader, std::span<const double> factors) {
  std::vector<double> rows(static_cast<size_t>(reader.layer->outputs), 0.0);
  for (size_t i = 0; i < reader.weight.size(); ++i) {
    const auto [out, in] = reader.layer->place(static_cast<int64_t>(i));
    double& row = rows[static_cast<size_t>(out)];
    row = std::max(row, std::fabs(reader.weight[i]) * factors[static_cast<size_t>(in)]);
  }
  return rows;
}

// The largest share of each input channel in the range of an output's weights.
std::vector<double> weight_shares(std::span<const ChannelReader> readers, size_t channels) {
  const std::vector<double> ones(channels, 1.0);
  std::vector<double> shares(channels, 0.0);
  for (const ChannelReader& reader : readers) {
    const std::vector<double> rows = row_ranges(reader, ones);
    for (size_t i = 0; i < reader.weight.size(); ++i) {
      const auto [out, in] = reader.layer->place(static_cast<int64_t>(i));
      const double row = rows[static_cast<size_t>(out)];
      double& share = shares[static_cast<size_t>(in)];
      if (row > 0) share = std::max(share, std::fabs(reader.weight[i]) / row);
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

}  // namespace

double noise_power(const ChannelRanges& channels, std::span<const ChannelReader> readers,
                   std::span<const double> factors) {
  double step = 0;
  for (size_t c = 0; c < factors.size(); ++c) step = std::max(step, channels.magnitude[c] / factors[c]);
  double power = 0;
  for (const ChannelReader& reader : readers) {
    const std::vector<double> rows = row_ranges(reader, factors);
    for (size_t i = 0; i < reader.weight.size(); ++i) {
      const auto [out, in] = reader.layer->place(static_cast<int64_t>(i));
      const double factor = factors[static_cast<size_t>(in)], row = rows[static_cast<size_t>(out)];
      const double weight = reader.weight[i] * factor;
      power += step * step * weight * weight +
               row * row * channels.mean_square[static_cast<size_t>(in)] / (factor * factor);
    }
  }
  return power;
}

std::vector<double> balance_channels(const ChannelRanges& channels, std::span<const ChannelReader> readers,
                                     std::optional<double> strength) {
  const std::vector<double> shares = weight_shares(readers, channels.magnitude.size());
  if (strength) return factors_of(channels, shares, *strength);
  std::vector<double> best(shares.size(), 1.0);
  double least = noise_power(channels, readers, best);
  for (const double candidate : {0.25, 0.5, 0.75, 1.0}) {
    std::vector<double> factors = factors_of(channels, shares, candidate);
    const double power = noise_power(channels, readers, factors);
    if (power < least) {
      least = power;
      best = std::move(factors);
    }
  }
  return best;
}

}  // namespace kvant::quant
