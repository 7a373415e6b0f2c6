// A base model with an adapter added into its weights, a few rows at a time. Tested by
// tests/lora/adapter/merge_test.cc.
#include "lora/adapter/merge.h"

#include <fmt/format.h>

#include <Eigen/Core>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace lora {
namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

}  // namespace

void check_fits(const Adapter& adapter, const ModelFiles& base) {
  const std::string advice = "give the base model that the adapter was trained on: --base MODEL";
  for (const AdapterModule& module : adapter.modules) {
    std::string name = module.name + ".weight";
    if (!base.find(name))
      throw base::Error({"the adapter has a module that the model does not have", base.path().string(), module.name,
                         "a module of the model", advice});
    if (base.shape(name) != std::vector<std::int64_t>{module.out, module.in})
      throw base::Error({"the adapter does not fit the model", base.path().string() + ": " + name,
                         fmt::format("{} -> {}", module.in, module.out),
                         fmt::format("{} -> {}", base.shape(name)[1], base.shape(name)[0]), advice});
  }
}

MergedModel::MergedModel(const ModelFiles& base, const Adapter* adapter) : base_(base) {
  if (!adapter) return;
  check_plain(*adapter);
  check_fits(*adapter, base);
  for (const AdapterModule& module : adapter->modules) modules_[module.name + ".weight"] = &module;
}

void MergedModel::read_rows(const std::string& name, std::int64_t first, std::int64_t count,
                            std::span<float> out) const {
  if (base_.shape(name).size() == 1) {
    base_.read(name, out);
  } else {
    base_.read_rows(name, first, count, out);
  }
  auto found = modules_.find(name);
  if (found != modules_.end()) {
    const AdapterModule& module = *found->second;
    Eigen::Map<const Matrix> a(module.a.data(), module.rank, module.in);
    Eigen::Map<const Matrix> b(module.b.data() + first * module.rank, count, module.rank);
    Eigen::Map<Matrix> weight(out.data(), count, module.in);
    weight.noalias() += static_cast<float>(module.scale) * (b * a);
  }
  // Not NaN and not infinite; written so that the compiler makes it a vector loop.
  bool finite = true;
  for (float value : out) finite &= std::fabs(value) <= std::numeric_limits<float>::max();
  if (!finite)
    throw base::Error({"the weights are not finite numbers", base_.path().string() + ": " + name, "", "",
                       found == modules_.end() ? "the base model is damaged; fetch it again"
                                               : "the adapter or the base is damaged; did the training diverge?"});
}

}  // namespace lora
