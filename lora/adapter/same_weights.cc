// Is what was written what was meant? Tested by tests/lora/adapter/same_weights_test.cc.
#include "lora/adapter/same_weights.h"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <mutex>

#include "base/error.h"
#include "base/parallel.h"
#include "base/pipeline.h"
#include "base/quantize.h"
#include "base/resident.h"
#include "lora/adapter/tensor_stream.h"
#include "lora/model/wrapper.h"

namespace lora {
namespace {

using base::DType;
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Of the norm of a tensor. Blocks: three times what they lose of normal numbers, since weights have heavier tails.
double bound_of(DType type) {
  switch (type) {
    case DType::kF32:
      return 1e-6;
    case DType::kF16:
      return 0x1p-11;
    case DType::kBF16:
      return 0x1p-8;
    case DType::kQ8_0:
      return 0.02;
    case DType::kQ6_K:
      return 0.06;
    case DType::kQ5_K:
    case DType::kQ5_0:
    case DType::kQ5_1:
      return 0.15;
    default:
      return 0.3;
  }
}

double rounded_bound_of(DType type) {
  switch (type) {
    case DType::kF32:
      return 1e-6;
    case DType::kF16:
      return 0x1p-12;
    case DType::kBF16:
      return 3e-3;
    case DType::kQ8_0:
      return 5e-3;
    default:
      return 1e-2;
  }
}

bool is_worse(const Difference& left, const Difference& right) {
  const auto badness = [](const Difference& one) {
    return std::max(one.share / one.bound, one.rounded / one.rounded_bound);
  };
  return right.name.empty() || badness(left) > badness(right);
}

// Whether we know how numbers are rounded to what was written.
bool can_round(const ModelFiles& written, const std::string& name) {
  const DType type = written.view(name).type;
  return !written.is_packed(name) &&
         (type == DType::kF32 || type == DType::kF16 || type == DType::kBF16 || base::can_quantize(type));
}

std::vector<float> rounded_to(DType type, const std::vector<float>& values) {
  std::vector<float> rounded(values.size());
  base::to_float(type, base::from_float(type, values), rounded);
  return rounded;
}

Difference difference_of(const MergedModel& model, const ModelFiles& written, const std::string& name) {
  const std::string other = written.find(name) ? name : without_wrapper(name);
  if (!written.find(other) || written.shape(other) != model.base().shape(name))
    throw base::Error({"a tensor is missing, or has another shape", written.path().string(), other, "", ""});
  const std::vector<std::int64_t> shape = model.base().shape(name);
  const std::int64_t row{shape.size() == 1 ? 1 : shape[1]};
  const DType type = written.view(other).type;
  const bool is_known{can_round(written, other)};
  double lost = 0, elsewhere = 0, whole = 0;
  for (const RowRange& rows : row_ranges(shape, model.base().config().head_dim)) {
    std::vector<float> meant(static_cast<std::size_t>(rows.count * row)), found(meant.size());
    model.read_rows(name, rows.first, rows.count, meant);
    shape.size() == 1 ? written.read(other, found) : written.read_rows(other, rows.first, rows.count, found);
    const Eigen::Map<const Eigen::ArrayXf> left(meant.data(), static_cast<Eigen::Index>(meant.size())),
        right(found.data(), left.size());
    lost += (left - right).cast<double>().square().sum();
    if (is_known) {
      const std::vector<float> rounded = rounded_to(type, meant);
      const Eigen::Map<const Eigen::ArrayXf> nearest(rounded.data(), left.size());
      elsewhere += (nearest - right).cast<double>().square().sum();
    }
    whole += left.cast<double>().square().sum();
  }
  base::give_back(model.base().view(name).bytes);
  base::give_back(written.view(other).bytes);
  const auto share = [whole](double part) { return part == 0 ? 0 : std::sqrt(part / whole); };  // infinity: all zero
  return {name, share(lost), bound_of(type), share(elsewhere), rounded_bound_of(type)};
}

}  // namespace

Difference compare_weights(const MergedModel& model, const ModelFiles& written, int threads,
                           const std::function<void(double)>& progress) {
  const std::vector<std::string>& names = model.base().names();
  Difference most;
  std::size_t done = 0;
  std::mutex mutex;
  base::parallel_for(names.size(), base::thread_count(threads), [&](std::size_t i, int worker) {
    const Difference one = difference_of(model, written, names[i]);
    const std::lock_guard lock(mutex);
    if (is_worse(one, most)) most = one;
    ++done;
    if (worker == 0 && progress) progress(static_cast<double>(done) / static_cast<double>(names.size()));
  });
  return most;
}

Difference compare_adapters(const Adapter& adapter, const Adapter& written) {
  Difference most;
  const auto refuse = [](const std::string& name) {
    throw base::Error({"the adapter that was written has other modules", "", name, "", ""});
  };
  if (adapter.modules.size() != written.modules.size()) refuse(adapter.base_model);
  for (const AdapterModule& module : adapter.modules) {
    const auto other = std::ranges::find(written.modules, module.name, &AdapterModule::name);
    if (other == written.modules.end() || other->in != module.in || other->out != module.out) refuse(module.name);
    Eigen::VectorXf x(module.in);
    for (Eigen::Index i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i) + 1);
    const auto added = [&x](const AdapterModule& of) -> Eigen::VectorXf {
      const Eigen::Map<const Matrix> a(of.a.data(), of.rank, of.in), b(of.b.data(), of.out, of.rank);
      return static_cast<float>(of.scale) * (b * (a * x));
    };
    const Eigen::VectorXf meant = added(module), found = added(*other);
    const double size{meant.norm()};
    Difference one{module.name, size == 0 ? found.norm() : (meant - found).norm() / size, 1e-4, 0, 1};
    if (module.magnitude != other->magnitude) one.share = 1;
    if (is_worse(one, most)) most = one;
  }
  return most;
}

}  // namespace lora
