// The tiny random Llamas of tests/golden/finetune/tiny_llama (made by scripts/oracle/tiny_llama.py), as tensors.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/safetensors.h"
#include "finetune/kernels/device.h"
#include "finetune/model/model.h"
#include "tests/lora/written_model.h"

namespace tiny_llama {

/// Elsewhere than in the source tree (scripts/bench/gpu_bundle.sh) HORNBOOK_SOURCE says where the golden files lie.
inline std::filesystem::path folder(const std::string& name) {
  const char* moved = std::getenv("HORNBOOK_SOURCE");
  return std::filesystem::path(moved ? moved : HORNBOOK_SOURCE_DIR) / "tests/golden/finetune/tiny_llama" / name;
}

/// Where the models compute: HORNBOOK_TEST_DEVICE=cuda asks for the GPU, strict for strict_device.h's.
inline std::string device_name() {
  const char* name = std::getenv("HORNBOOK_TEST_DEVICE");
  return name ? name : "cpu";
}
inline at::Device device() { return finetune::choose_device(device_name()); }

/// Every case that the oracle made.
inline std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder("")))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

inline at::Tensor to_tensor(const base::TensorView& view) {
  if (view.type == base::DType::kI64)
    return at::from_blob(const_cast<std::byte*>(view.bytes.data()), view.shape, at::kLong).clone();
  at::Tensor tensor = at::empty(view.shape, at::kFloat);
  base::to_float(view.type, view.bytes, {tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.numel())});
  return tensor;
}

/// A float32 tensor as it stands in a file.
inline lora_tests::FileTensor file_tensor(const std::string& name, const at::Tensor& tensor) {
  const at::Tensor rows = tensor.contiguous();
  const auto* bytes = static_cast<const std::byte*>(rows.data_ptr());
  return {name, base::DType::kF32, rows.sizes().vec(), {bytes, bytes + rows.nbytes()}};
}

/// What the peers computed for one case.
struct Golden {
  base::SafetensorsReader file;
  explicit Golden(const std::string& name) : file(folder(name) / "golden.safetensors") {}
  at::Tensor at(const std::string& name) const { return to_tensor(file.at(name)); }
  bool has(const std::string& name) const { return file.find(name) != nullptr; }
  /// Tensors whose names begin so.
  std::size_t count(const std::string& prefix) const {
    return static_cast<std::size_t>(std::ranges::count_if(
        file.tensors(), [&](const base::TensorView& view) { return view.name.starts_with(prefix); }));
  }
  double number(const std::string& fact) const { return std::stod(file.metadata().at(fact)); }
  bool rslora() const { return file.metadata().at("rslora") == "True"; }
  finetune::PackedRow row(int i) const {
    std::string prefix = "row" + std::to_string(i) + "/";
    finetune::PackedRow row;
    row.ids = at(prefix + "ids");
    row.targets = at(prefix + "targets");
    at::Tensor lengths = at(prefix + "lengths");
    row.lengths.assign(lengths.data_ptr<std::int64_t>(), lengths.data_ptr<std::int64_t>() + lengths.numel());
    row.trained = row.targets.ge(0).sum().item<std::int64_t>();
    return row;
  }
  /// Copies the adapter of `group` ("start", "zero_b" has only A) into the attached modules, A then B of each.
  void set_adapter(finetune::Transformer& model, const std::string& group) const {
    at::NoGradGuard no_gradient;
    std::vector<at::Tensor> leaves = model.parameters();
    std::size_t i = 0;
    for (const lora::AdapterModule& module : model.adapter().modules)
      for (const char* matrix : {"/a", "/b"}) leaves[i++].copy_(at(group + "/" + module.name + matrix));
  }
};

/// On one thread: products so small gain nothing from two, which wait for each other on a busy machine.
inline finetune::Transformer load(const std::filesystem::path& path, at::ScalarType dtype = at::kFloat) {
  at::set_num_threads(1);
  return finetune::Transformer(lora::ModelFiles(path.string()), dtype, device());
}

/// ||a - b|| / ||b||
inline double relative(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor on_cpu = b.cpu();
  return ((a.cpu() - on_cpu).norm() / on_cpu.norm().clamp_min(1e-30)).item<double>();
}

/// A copy of a case with its weights or its config.json changed, in a fresh folder that goes away with the object.
class Changed {
 public:
  Changed(const std::string& name, const std::function<void(const std::string& name, at::Tensor& weight)>& change,
          const std::string& from = "", const std::string& to = "") {
    static int number = 0;
    path_ = std::filesystem::temp_directory_path() /
            ("hornbook_tiny_" + std::to_string(getpid()) + "_" + std::to_string(number++));
    std::filesystem::create_directories(path_);
    std::string config = base::read_file(folder(name) / "config.json");
    if (!from.empty()) {
      EXPECT_NE(config.find(from), std::string::npos) << from;
      config.replace(config.find(from), from.size(), to);
    }
    base::write_file(path_ / "config.json", config);
    base::SafetensorsReader reader(folder(name));
    std::vector<lora_tests::FileTensor> tensors;
    for (const base::TensorView& view : reader.tensors()) {
      at::Tensor weight = to_tensor(view);
      change(view.name, weight);
      tensors.push_back(file_tensor(view.name, weight));
    }
    lora_tests::write_tensors(path_ / "model.safetensors", tensors);
  }
  ~Changed() { std::filesystem::remove_all(path_); }
  Changed(const Changed&) = delete;
  Changed& operator=(const Changed&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace tiny_llama
