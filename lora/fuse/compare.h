// How alike what two adapters change is, and how large; from their thin matrices alone.
#pragma once

#include <string>
#include <vector>

#include "lora/adapter/adapter.h"

namespace lora {

/// The size of a module's change.
struct ModuleNorm {
  std::string name;
  double frobenius = 0;
  double spectral = 0;  ///< its largest singular value: by how much it can lengthen a vector
};
/// Of every module, in the adapter's order.
std::vector<ModuleNorm> norms_of(const Adapter& adapter, int threads);

/// The changes that two adapters make to one weight.
struct ModuleComparison {
  std::string name;
  double squared_norm_a = 0, squared_norm_b = 0, inner_product = 0;
  double squared_difference = 0;        ///< of the norm of a - b
  std::int64_t rank_a = 0, rank_b = 0;  ///< that hold the changes; 0: the adapter has none there
  /// Principal angles in degrees, smallest first, as many as the lesser rank: between the columns' spaces (what the
  /// changes can give) and the rows' (what they look at). Bjorck and Golub 1973.
  std::vector<double> column_angles{}, row_angles{};
};
/// Of every module that either has, in forward order. Throws base::Error for different shapes.
std::vector<ModuleComparison> compared(const Adapter& a, const Adapter& b, int threads);

/// The mean of the squared cosines: 1 for equal spaces, 0 for ones at right angles. NaN without angles.
double overlap_of(const std::vector<double>& angles);

}  // namespace lora
