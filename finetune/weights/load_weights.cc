// Tensors of a model file in the form in which they are computed with. Tested by tests/finetune/weights_test.cc.
#include "finetune/weights/load_weights.h"

#include <ATen/ATen.h>

#include "base/resident.h"

namespace finetune {
namespace {

void read_into(const lora::ModelFiles& files, const std::string& name, at::Tensor target) {
  at::Tensor raw = at::empty(target.sizes(), at::kFloat);
  files.read(name, {raw.mutable_data_ptr<float>(), static_cast<std::size_t>(raw.numel())});
  target.copy_(raw);
  base::give_back(files.view(name).bytes);  // it is read once
}

}  // namespace

at::Tensor load_tensor(const lora::ModelFiles& files, const std::string& name, const at::TensorOptions& options) {
  at::Tensor tensor = at::empty(files.shape(name), options);
  read_into(files, name, tensor);
  return tensor;
}

std::shared_ptr<const FrozenMatrix> load_matrix(const lora::ModelFiles& files, const std::vector<std::string>& names,
                                                const at::TensorOptions& options) {
  std::int64_t rows = 0;
  for (const std::string& name : names) rows += files.shape(name).at(0);
  at::Tensor weight = at::empty({rows, files.shape(names.at(0)).at(1)}, options);
  std::int64_t row = 0;
  for (const std::string& name : names) {
    const std::int64_t count{files.shape(name)[0]};
    read_into(files, name, weight.narrow(0, row, count));
    row += count;
  }
  return std::make_shared<DenseMatrix>(weight);
}

}  // namespace finetune
